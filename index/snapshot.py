"""A graph on disk, and whether to believe it.

``graph-<seq>.hnsw`` holds the graph; ``graph.json`` says what it is, with its checksum. Both are written to
a temporary name, synced and renamed, the manifest last: its rename is the commit. A graph is a cache of
``truth.db``, so anything that does not fit, is cut short or changed is thrown away without regret.
"""

import asyncio
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from index.graph import Graph, GraphShape

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
    checksum = _checksum(temporary)
    manifest = Manifest(FORMAT, **asdict(shape), last_seq=last_seq, count=count, checksum=checksum)
    _sync(temporary)
    temporary.rename(folder / manifest.file_name)
    draft = folder / f"{MANIFEST}.tmp"
    draft.write_text(json.dumps(asdict(manifest)))
    _sync(draft)
    draft.rename(folder / MANIFEST)
    _sync(folder)
    _sweep(folder, keep=manifest.file_name)


async def load(graph: Graph, folder: Path) -> bool:
    """Fill the empty ``graph`` from disk; False, and a clean folder, if nothing there can be believed."""
    manifest = await asyncio.to_thread(_believable, folder, graph.shape)
    if manifest is not None:
        try:
            await graph.load(folder / manifest.file_name, manifest.last_seq)
        except RuntimeError:
            manifest = None
    if manifest is None or graph.count != manifest.count:
        await asyncio.to_thread(discard, folder)
        return False
    return True


def discard(folder: Path) -> None:
    """Remove whatever there is of a stored graph."""
    (folder / MANIFEST).unlink(missing_ok=True)
    _sweep(folder, keep=None)


def _believable(folder: Path, shape: GraphShape) -> Manifest | None:
    try:
        manifest = _read_manifest(folder / MANIFEST)
        fits = {**asdict(shape), "format": FORMAT}.items() <= asdict(manifest).items()
        whole = fits and _checksum(folder / manifest.file_name) == manifest.checksum
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return manifest if whole else None


def _read_manifest(path: Path) -> Manifest:
    fields: dict[str, Any] = json.loads(path.read_bytes())
    if type(fields["last_seq"]) is not int or type(fields["count"]) is not int:
        raise TypeError("a count that is no number")
    return Manifest(**fields)


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(folder: Path, keep: str | None) -> None:
    for path in [*folder.glob("graph-*.hnsw"), *folder.glob("graph*.tmp")]:
        if path.name != keep:
            path.unlink(missing_ok=True)
