"""What a model in a bucket consists of: ``embedd-model.json``, with the size and the sha256 of every file.

A prefix without one is taken as it is listed; what its files are is pinned when they have been fetched. Knows
no bucket. Invariant: a name that leads out of the model's folder is in no manifest.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from embedd.errors import ModelLoadError

MANIFEST: Final = "embedd-model.json"
MOST_BYTES: Final = 4 * 2**20
_FORMAT: Final = 1
_WANTED: Final = (".json", ".safetensors", ".txt", ".model", ".jinja")
_PICKLED: Final = (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: its ``path`` within the model, and what is known of its content.

    ``etag`` is what the bucket calls this version of it; ``sha256`` is None where nobody has said it.
    """

    path: str
    size: int
    sha256: str | None = None
    etag: str = ""


def is_wanted(path: str, *, allow_pickle: bool) -> bool:
    """Whether a file belongs to what is loaded: settings, tokenizers and weights, never code."""
    name = PurePosixPath(path)
    if name.name == MANIFEST or any(part.startswith(".") for part in name.parts):
        return False
    return name.suffix in _WANTED or (allow_pickle and name.suffix in _PICKLED)


def revision_of(entries: Iterable[Entry]) -> str:
    """What tells this content from any other under the same prefix."""
    facts = sorted((entry.path, entry.size, entry.sha256 or entry.etag) for entry in entries)
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def write_manifest(entries: Sequence[Entry]) -> bytes:
    """The file's content."""
    files = [
        {name: value for name, value in asdict(entry).items() if name != "etag"}
        for entry in sorted(entries, key=lambda entry: entry.path)
    ]
    return json.dumps({"format": _FORMAT, "files": files}, indent=1).encode()


def read_manifest(content: bytes, where: str) -> list[Entry]:
    """Its entries.

    Raises:
        ModelLoadError: it is no manifest, or names files outside of its model.
    """
    try:
        found = json.loads(content)
        version, files = found["format"], found["files"]
        entries = [_entry(file) for file in files]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelLoadError(f"{where} is no list of a model's files: {error!r}") from error
    if version != _FORMAT:
        raise ModelLoadError(f"{where} has format {version!r}, this version reads {_FORMAT}")
    return check_paths(entries, where)


def check_paths(entries: Sequence[Entry], where: str) -> list[Entry]:
    """``entries``, if each of their paths stays within the model's folder and none is there twice.

    Raises:
        ModelLoadError: one leads elsewhere.
    """
    for entry in entries:
        path = PurePosixPath(entry.path)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.path or str(path) != entry.path:
            raise ModelLoadError(f"{where} has the file {entry.path!r}, which may lie outside of the model")
    if len({entry.path for entry in entries}) < len(entries):
        raise ModelLoadError(f"{where} has a file twice")
    return list(entries)


def sha256_of(path: Path) -> str:
    """Of a file's content; raises ``OSError``."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entry(file: dict[str, Any]) -> Entry:
    path, size, sha256 = file["path"], file["size"], file["sha256"]
    if not (isinstance(path, str) and path and isinstance(size, int) and size >= 0):
        raise ValueError(f"{file} is no file")
    if not (isinstance(sha256, str) and len(sha256) == hashlib.sha256().digest_size * 2):
        raise ValueError(f"{path!r} has no sha256")
    return Entry(path, size, sha256)
