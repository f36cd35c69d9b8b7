"""The files of a data folder as files: what belongs there, what is left over, one process at a time, on disk
for good.
"""

import errno
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from index.errors import DataFolderInUse, StorageFailed, StorageFull

COLLECTIONS: Final = "collections"
# SQLite files of a service as a whole, which it keeps beside its collections.
DATABASES: Final = ("conversations.db", "keys.db", "models.db")
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_LOCK: Final = "embedd.lock"
# What is renamed once it is whole, and what was renamed to be removed.
_LEFTOVERS: Final = (
    f"{COLLECTIONS}/.creating-*",
    f"{COLLECTIONS}/.dropped-*",
    f"{COLLECTIONS}/*/graph*.tmp",
    f"{COLLECTIONS}/*/vectors*.tmp",
    ".restoring-*",
    "aliases.json.tmp",
)


def collection_names(data: Path) -> list[str]:
    """The collections of a data folder, sorted."""
    return sorted(path.name for path in (data / COLLECTIONS).iterdir() if NAME.fullmatch(path.name))


def leftovers(data: Path) -> list[Path]:
    """What a crash left half made or half removed."""
    return sorted(path for pattern in _LEFTOVERS for path in data.glob(pattern))


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that can be removed of it."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def lock(folder: Path) -> int:
    """Own the data folder, which is made if it is not there, until the file that this gives is closed.

    Raises:
        DataFolderInUse: somebody else has it.
        StorageFailed: there can be no such folder.
    """
    try:
        (folder / COLLECTIONS).mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageFailed(f"the data folder {folder} cannot be used: {error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise DataFolderInUse(folder) from error
    return descriptor


def sync(path: Path) -> None:
    """Return when the file, or the names in the folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(folder: Path) -> None:
    """Return when the folder and everything in it is on disk."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)


@contextmanager
def disk_in_words(what: str) -> Iterator[None]:
    """Raise the store's error for the operating system's."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"no space is left on the disk for {what}; free some and try again") from error
        raise StorageFailed(f"{what}: {error}") from error


def checksum(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
