"""A copy of a data folder, or of one collection of it, while a service may be running on it.

    <target>/
      manifest.json            every file with its size and sha256, and the checksum of all that
      collections/<name>/      truth.db as of one moment, and the uploads that its jobs wait for
      conversations.db, keys.db, models.db       each as of one moment
      aliases.json, calibration/

A backup is laid out as a data folder is, so it can be checked as one. It is written under another name and
renamed when all of it is on disk. Graphs are left out: a restored collection makes its own.
"""

import hashlib
import json
import shutil
import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from index import aliases, files
from index.codec import timestamp
from index.database import BUSY_TIMEOUT_S, FILE_NAME, translate
from index.errors import CollectionNotFound, StorageFailed, StoreError, WouldReplace

MANIFEST: Final = "manifest.json"
FORMAT: Final = 2
UPLOADS: Final = "uploads"
# What belongs to a service as a whole, beside its collections and databases.
CALIBRATION: Final = "calibration"
BESIDE: Final = (aliases.FILE_NAME, CALIBRATION)


@dataclass(frozen=True, slots=True)
class BackedUpFile:
    """A file of a backup; its path is relative to the backup, with slashes."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup has."""

    created_at: str
    files: tuple[BackedUpFile, ...]
    format: int = FORMAT

    @property
    def collections(self) -> list[str]:
        """Their names, sorted."""
        parts = [file.path.split("/") for file in self.files]
        return sorted({names[1] for names in parts if names[0] == files.COLLECTIONS})

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def back_up(data: Path, target: Path, collection: str | None = None) -> Manifest:
    """Copy everything, or one collection, into the new folder ``target``.

    Every collection is copied as it was at one moment. What else is written meanwhile is not waited for.

    Raises:
        CollectionNotFound: there is none of that name.
        WouldReplace: there is something at ``target``.
        StorageFull, StorageFailed: it could not be read or written; nothing is left at ``target``.
    """
    names = _names(data, collection)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise WouldReplace([str(target)])
    draft = target.parent / f".{target.name}-{uuid.uuid4().hex}"
    with files.disk_in_words(f"the backup {target}"):
        try:
            draft.mkdir(parents=True)
            for name in names:
                _copy_collection(data, draft, name)
            if collection is None:
                _copy_databases(data, draft)
                _copy_beside(data, draft)
            manifest = _describe(draft)
            files.sync_all(draft)
            draft.rename(target)
            files.sync(target.parent)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return manifest


def seal(fields: dict[str, Any]) -> str:
    """The checksum of a manifest's fields."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _names(data: Path, collection: str | None) -> list[str]:
    if not (data / files.COLLECTIONS).is_dir():
        raise StorageFailed(f"{data} is not a data folder: it has no folder {files.COLLECTIONS!r}")
    names = files.collection_names(data)
    if collection is None:
        return names
    if collection not in names:
        raise CollectionNotFound(collection)
    return [collection]


def _copy_collection(data: Path, draft: Path, name: str) -> None:
    source, copy = (folder / files.COLLECTIONS / name for folder in (data, draft))
    copy.mkdir(parents=True)
    try:
        _copy_state(source, copy)
    except StoreError:
        if source.exists():
            raise
        shutil.rmtree(copy)  # dropped meanwhile


def _copy_state(source: Path, copy: Path) -> None:
    _copy_uploads(source, copy)
    with _copying(source / FILE_NAME, copy / FILE_NAME):
        _copy_uploads(source, copy)  # a job that came in between; it is not finished so soon


def _copy_databases(data: Path, draft: Path) -> None:
    for name in files.DATABASES:
        if (data / name).is_file():
            with _copying(data / name, draft / name):
                pass


@contextmanager
def _copying(source: Path, copy: Path) -> Iterator[None]:
    """Copies a SQLite file as it is when the block begins, whoever writes to it; at the end of the block."""
    uri = f"{source.absolute().as_uri()}?mode=ro"
    try:
        with (
            closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as live,
            closing(sqlite3.connect(copy, isolation_level=None)) as written,
        ):
            live.execute("BEGIN")
            live.execute("SELECT 1 FROM sqlite_schema").fetchone()  # from here on one state
            yield
            written.execute("PRAGMA synchronous = OFF")  # all is synced at the end
            live.backup(written)
            written.execute("PRAGMA journal_mode = DELETE")  # one file, which can be read anywhere
    except sqlite3.Error as error:
        raise translate(error, source) from error


def _copy_uploads(source: Path, copy: Path) -> None:
    """Those that are not copied yet; an upload never changes."""
    (copy / UPLOADS).mkdir(exist_ok=True)
    for path in _files_in(source / UPLOADS):
        if not (copy / UPLOADS / path.name).exists():
            _copy_if_there(path, copy / UPLOADS / path.name)


def _copy_beside(data: Path, draft: Path) -> None:
    for name in BESIDE:
        for path in [data / name, *_files_in(data / name)]:
            if path.is_file():
                place = draft / path.relative_to(data)
                place.parent.mkdir(exist_ok=True)
                _copy_if_there(path, place)


def _files_in(folder: Path) -> Iterable[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else ()


def _copy_if_there(path: Path, place: Path) -> None:
    try:
        shutil.copyfile(path, place)
    except FileNotFoundError:  # finished meanwhile
        place.unlink(missing_ok=True)


def _describe(draft: Path) -> Manifest:
    described = tuple(
        BackedUpFile(path.relative_to(draft).as_posix(), path.stat().st_size, files.checksum(path))
        for path in _every_file(draft)
    )
    manifest = Manifest(timestamp(), described)
    fields = asdict(manifest)
    (draft / MANIFEST).write_text(json.dumps({**fields, "sha256": seal(fields)}, indent=1))
    return manifest


def _every_file(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())
