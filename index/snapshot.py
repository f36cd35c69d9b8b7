"""A graph on disk, and whether to believe it.

``graph-<seq>.hnsw`` holds the graph; ``graph.json`` says what it is, with its checksum. Both are written to
a temporary name, synced and renamed, the manifest last: its rename is the commit. A graph is a cache of
``truth.db``, so anything that does not fit, is cut short or changed is thrown away without regret.
"""

import asyncio
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from index import files, graph_file
from index.blocks import Keys
from index.graph import Graph, GraphShape
from index.rows import Metric

MANIFEST: Final = "graph.json"
FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a stored graph is: its shape, the last seq that it has, how many labels, and its file's sha256."""

    format: int
    dim: int
    metric: str
    m: int
    ef_construction: int
    last_seq: int
    count: int
    checksum: str
    quantised: bool = False

    @property
    def file_name(self) -> str:
        return f"graph-{self.last_seq}.hnsw"


async def save(graph: Graph, folder: Path) -> None:
    """Make ``graph`` the one that the next start finds. Nothing may be added to it meanwhile.

    Raises:
        OSError, RuntimeError: it could not be written; the one before may be lost, and is no loss.
    """
    temporary = folder / "graph.hnsw.tmp"
    await graph.save(temporary)
    await asyncio.to_thread(_publish, temporary, graph.shape, graph.last_seq, graph.count)


def _publish(temporary: Path, shape: GraphShape, last_seq: int, count: int) -> None:
    folder = temporary.parent
    graph_file.erase_gone(temporary)
    checksum = files.checksum(temporary)
    manifest = Manifest(format=FORMAT, **asdict(shape), last_seq=last_seq, count=count, checksum=checksum)
    files.sync(temporary)
    temporary.rename(folder / manifest.file_name)
    _write_manifest(manifest, folder)
    _sweep(folder, keep=manifest.file_name)


def _write_manifest(manifest: Manifest, folder: Path) -> None:
    draft = folder / f"{MANIFEST}.tmp"
    draft.write_text(json.dumps(asdict(manifest)))
    files.sync(draft)
    draft.rename(folder / MANIFEST)
    files.sync(folder)


def erase_gone(folder: Path, shape: GraphShape, live: Keys) -> None:
    """Overwrite every vector in the stored graph whose seq is not among ``live`` (ascending).

    It is done in place: a crash meanwhile leaves a graph that nobody believes.
    """
    try:
        manifest = _checked_manifest(folder, shape)
        if not graph_file.erase_gone(folder / manifest.file_name, live):
            return
    except (OSError, ValueError, TypeError, KeyError):
        discard(folder)
        return
    checksum = files.checksum(folder / manifest.file_name)
    _write_manifest(replace(manifest, checksum=checksum), folder)


async def load(graph: Graph, folder: Path) -> bool:
    """Fill the empty ``graph`` from disk; False, and a clean folder, if nothing there can be believed."""
    if await fault(graph, folder) is None:
        return True
    await asyncio.to_thread(discard, folder)
    return False


async def fault(graph: Graph, folder: Path) -> str | None:
    """Why what is stored cannot be believed; None once the empty ``graph`` is filled with it."""
    try:
        manifest = await asyncio.to_thread(_checked_manifest, folder, graph.shape)
        await graph.load(folder / manifest.file_name, manifest.last_seq)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    if graph.count != manifest.count:
        return f"it has {graph.count} labels, not {manifest.count}"
    return None


def stored_shape(folder: Path, dim: int, metric: Metric) -> GraphShape | None:
    """The shape of the stored graph of a collection of this dimension and metric, if it can be read."""
    try:
        manifest = _read_manifest(folder / MANIFEST)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError):
        return None
    return GraphShape(dim, metric, manifest.m, manifest.ef_construction, manifest.quantised)


def discard(folder: Path) -> None:
    """Remove whatever there is of a stored graph."""
    (folder / MANIFEST).unlink(missing_ok=True)
    _sweep(folder, keep=None)


def _checked_manifest(folder: Path, shape: GraphShape) -> Manifest:
    manifest = _read_manifest(folder / MANIFEST)
    expected = {**asdict(shape), "format": FORMAT}
    if not expected.items() <= asdict(manifest).items():
        raise ValueError(f"it is of another shape than {expected}")
    if files.checksum(folder / manifest.file_name) != manifest.checksum:
        raise ValueError(f"{manifest.file_name} does not have the checksum that {MANIFEST} says")
    return manifest


def _read_manifest(path: Path) -> Manifest:
    fields: dict[str, Any] = json.loads(path.read_bytes())
    if type(fields["last_seq"]) is not int or type(fields["count"]) is not int:
        raise TypeError("a count that is no number")
    return Manifest(**fields)


def _sweep(folder: Path, keep: str | None) -> None:
    for path in [*folder.glob("graph-*.hnsw"), *folder.glob("graph*.tmp")]:
        if path.name != keep:
            path.unlink(missing_ok=True)
