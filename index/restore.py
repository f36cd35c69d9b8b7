"""A backup becomes (part of) a data folder, all of it at once.

Everything is copied into ``.restoring-*`` of the data folder and checked on the way; renaming that to
``.restored`` is the commit. From then on ``settle`` moves it into place, piece by piece: the restore does so
itself, or the next start, if it was cut short.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final

from index import aliases, cursors, files
from index.backup import BESIDE, CALIBRATION, FORMAT, MANIFEST, UPLOADS, BackedUpFile, Manifest, seal
from index.database import FILE_NAME
from index.errors import (
    CollectionNotFound,
    DataTooNew,
    InvalidBackup,
    NameTaken,
    StorageFailed,
    WouldReplace,
)
from index.migrations import MIGRATIONS

RESTORED: Final = ".restored"
_CHUNK_BYTES: Final = 1 << 20
# https://sqlite.org/fileformat2.html#the_database_header
_USER_VERSION: Final = slice(60, 64)


def restore(
    source: Path,
    data: Path,
    *,
    collection: str | None = None,
    replace: bool = False,
    formats: Mapping[str, int] | None = None,
) -> list[str]:
    """Bring everything in a backup back, or one collection; gives the names of the collections.

    ``formats`` are the newest that the program knows of the databases beside them.

    Raises:
        InvalidBackup: ``source`` is no backup, or not as it was written.
        DataTooNew: a newer version of this program wrote it.
        CollectionNotFound: the backup has no such collection.
        WouldReplace: something of it is there already, and ``replace`` was not said.
        NameTaken: a name would be a collection's and an alias.
        DataFolderInUse: a service runs on the data folder.
        StorageFull, StorageFailed: it could not be read or written.
        Whatever it raises, the data folder is as it was.
    """
    manifest = _read_manifest(source)
    wanted = [file for file in manifest.files if collection in (None, _collection_of(file))]
    if collection is not None and not wanted:
        raise CollectionNotFound(collection)
    _refuse_newer(source, wanted, formats or {})
    lock = files.lock(data)
    try:
        with files.disk_in_words(f"the backup {source}"):
            settle(data)
            if not replace:
                _refuse_conflicts(data, wanted)
            _stage(source, data, wanted)
            settle(data)
    finally:
        os.close(lock)
    return sorted({name for file in wanted if (name := _collection_of(file)) is not None})


def settle(data: Path) -> None:
    """Put what a restore has brought in place of what is there; the caller owns the data folder."""
    staged = data / RESTORED
    if not staged.is_dir():
        return
    trash = data / files.COLLECTIONS / f".dropped-{uuid.uuid4().hex}"
    trash.mkdir(parents=True)
    for number, unit in enumerate(_units(staged)):
        place = data / unit
        place.parent.mkdir(exist_ok=True)
        for old in _parts(place):  # the log of a database before it: a new one must not find it
            with suppress(FileNotFoundError):
                old.rename(trash / f"{number}-{old.name}")
        (staged / unit).rename(place)
        files.sync(place.parent)
    shutil.rmtree(staged)
    files.sync(data)
    shutil.rmtree(trash, ignore_errors=True)


def _parts(place: Path) -> list[Path]:
    """A folder or a file, and what SQLite writes beside it."""
    logs = ("-wal", "-shm") if place.name in files.DATABASES else ()
    return [*(place.with_name(f"{place.name}{end}") for end in logs), place]


def _units(staged: Path) -> list[Path]:
    """What is moved as a whole: collections, and the files beside them."""
    beside = [
        path
        for name in (*files.DATABASES, *BESIDE)
        for path in [staged / name, *(staged / name).glob("*")]
        if path.is_file()
    ]
    return [path.relative_to(staged) for path in [*(staged / files.COLLECTIONS).glob("*"), *beside]]


def _read_manifest(source: Path) -> Manifest:
    try:
        fields = json.loads((source / MANIFEST).read_bytes())
        found = fields["format"]
        if type(found) is int and found > FORMAT:
            raise DataTooNew(found, FORMAT, source)
        if fields.pop("sha256") != seal(fields):
            raise InvalidBackup(f"{source / MANIFEST} is not as it was written")
        described = tuple(BackedUpFile(**{**file, "path": str(file["path"])}) for file in fields["files"])
    except FileNotFoundError as error:
        raise InvalidBackup(f"{source} is not a backup: it has no {MANIFEST}") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InvalidBackup(f"{source / MANIFEST} cannot be read: {error!r}") from error
    for file in described:
        _refuse_strange(file)
    _refuse_without_truth(described)
    return Manifest(fields["created_at"], described, found)


def _refuse_strange(file: BackedUpFile) -> None:
    """A path leads into a collection, or to what may lie beside them, and nowhere else."""
    if "\0" not in file.path and str(PurePosixPath(file.path)) == file.path:
        match PurePosixPath(file.path).parts:
            case (files.COLLECTIONS, name, "truth.db") if files.NAME.fullmatch(name):
                return
            case (files.COLLECTIONS, name, "uploads", upload) if (
                files.NAME.fullmatch(name) and upload != ".."
            ):
                return
            case (name,) if name in files.DATABASES or name == aliases.FILE_NAME:
                return
            case (folder, name) if folder == CALIBRATION and name != "..":
                return
    raise InvalidBackup(f"{file.path!r} does not belong into a backup")


def _refuse_without_truth(described: Sequence[BackedUpFile]) -> None:
    """A service does not start over a collection that has no database."""
    paths = {file.path for file in described}
    for name in {name for file in described if (name := _collection_of(file)) is not None}:
        if f"{files.COLLECTIONS}/{name}/{FILE_NAME}" not in paths:
            raise InvalidBackup(f"the collection {name!r} has no {FILE_NAME} in it")


def _collection_of(file: BackedUpFile) -> str | None:
    parts = file.path.split("/")
    return parts[1] if parts[0] == files.COLLECTIONS else None


def _refuse_newer(source: Path, wanted: Iterable[BackedUpFile], formats: Mapping[str, int]) -> None:
    for file in wanted:
        known = len(MIGRATIONS) if file.path.endswith(f"/{FILE_NAME}") else formats.get(file.path)
        if known is not None:
            found = int.from_bytes(_header(source / file.path)[_USER_VERSION])
            if found > known:
                raise DataTooNew(found, known, source / file.path)


def _header(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(100)
    except OSError as error:
        raise InvalidBackup(f"{path} cannot be read: {error.strerror}") from error


def _refuse_conflicts(data: Path, wanted: Sequence[BackedUpFile]) -> None:
    conflicts = {
        name or file.path
        for file in wanted
        if (data / file.path).exists()
        and ((name := _collection_of(file)) or files.checksum(data / file.path) != file.sha256)
    }
    if conflicts:
        raise WouldReplace(sorted(conflicts))


def _refuse_shared_names(data: Path, draft: Path) -> None:
    """What stands in ``draft`` may not make an alias of a collection, or the other way round."""
    given = draft / aliases.FILE_NAME
    try:
        targets = aliases.read(given if given.exists() else data / aliases.FILE_NAME)
    except StorageFailed as error:
        if not given.exists():
            raise
        raise InvalidBackup(f"the backup's {aliases.FILE_NAME} is none: {error}") from error
    for alias, target in targets.items():
        if any((folder / files.COLLECTIONS / alias).exists() for folder in (draft, data)):
            raise NameTaken(
                alias, f"would be a collection and an alias of {target!r}: drop one of them first"
            )


def _stage(source: Path, data: Path, wanted: Iterable[BackedUpFile]) -> None:
    draft = data / f".restoring-{uuid.uuid4().hex}"
    try:
        for file in wanted:
            _copy(source / file.path, draft / file.path, file)
        for folder in (draft / files.COLLECTIONS).glob("*"):
            (folder / UPLOADS).mkdir(exist_ok=True)
            cursors.forget_all(folder)
        _refuse_shared_names(data, draft)
        files.sync_all(draft)
        draft.rename(data / RESTORED)
        files.sync(data)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _copy(path: Path, place: Path, expected: BackedUpFile) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    try:
        original = path.open("rb")
    except OSError as error:
        raise InvalidBackup(f"{path} cannot be read: {error.strerror}") from error
    with original, place.open("wb") as copy:
        while chunk := original.read(_CHUNK_BYTES):
            digest.update(chunk)
            copy.write(chunk)
    if digest.hexdigest() != expected.sha256:
        raise InvalidBackup(f"{path} is not as it was backed up: its sha256 is another")
