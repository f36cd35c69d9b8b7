"""Everything that can go wrong in the store, as one tree.

    StoreError
    ├── CollectionNotFound      no collection has that name
    ├── CollectionExists        one has it, with other settings
    ├── NameTaken               an alias has the name, or a collection has that of an alias
    ├── InvalidName             not a collection name
    ├── InvalidSettings         a collection cannot have these settings
    ├── InvalidId               not an id, or taken by something else
    ├── VersionConflict         the document is not at the version that the write was made for
    ├── KeyReused               another write came with this idempotency key
    ├── InvalidDocument         content that cannot be stored as it is
    ├── InvalidVector           wrong length, not finite, or no direction
    ├── InvalidFilter           names the operator and where it stands
    ├── InvalidQuery            nothing to search by, or numbers out of range
    ├── InvalidCursor           not one that this collection gave
    ├── HistoryLost             a moment before what is remembered; begin again
    ├── WriteQueueFull          too many writes wait; come back later
    ├── JobNotHeld              another service works on the job, or it has ended
    ├── DataFolderInUse         another process holds the data folder
    ├── DataTooNew              written by a newer version of this program
    ├── DatabaseUnusable        a database server that cannot be what the settings want it to be
    ├── InvalidBackup           no backup, or not as it was written
    ├── WouldReplace            something is there that nobody allowed to replace
    ├── CopyRefused             what is copied into has something that is not the copy's
    ├── StorageFull             no space is left
    ├── StorageFailed           the disk or the database refused for another reason
    │   └── StoreUnavailable    the database server is away, or takes no writes; come back later
    │       └── OutcomeUnknown  it went away, or fell silent, while it was told to keep a write
    └── VectorsUnavailable      the engine that has the vectors does not answer

The errors know no status codes; the edge maps them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class StoreError(Exception):
    """Root of every error that the store raises on purpose."""


class CollectionNotFound(StoreError):
    """No collection has the name asked for."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no collection {name!r}")
        self.name = name


class CollectionExists(StoreError):
    """A collection of that name exists, with other settings.

    ``differences`` maps the name of a setting to (what is stored, what was asked for).
    """

    def __init__(self, name: str, differences: Mapping[str, tuple[Any, Any]]) -> None:
        listed = ", ".join(f"{key} is {old!r}, not {new!r}" for key, (old, new) in differences.items())
        super().__init__(f"collection {name!r} exists with other settings: {listed}")
        self.name = name
        self.differences = dict(differences)


class NameTaken(StoreError):
    """A name is a collection's or an alias, never both."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name!r} {why}")
        self.name = name


class InvalidName(StoreError):
    """The name does not match ``[a-z0-9][a-z0-9_-]{0,62}``."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name!r} is not a collection name: 1 to 63 of a-z, 0-9, '_' and '-', starting with a-z or 0-9"
        )
        self.name = name


class InvalidSettings(StoreError):
    """A collection cannot have these settings."""


class InvalidId(StoreError):
    """The id cannot be used, and ``why``."""

    def __init__(self, id_: str, why: str) -> None:
        super().__init__(f"invalid id {id_[:80]!r}: {why}")
        self.id = id_
        self.why = why


class VersionConflict(StoreError):
    """The document ``id`` has the version ``found``, 0 if it is not there, and the write was for another."""

    def __init__(self, id_: str, found: int) -> None:
        state = f"has version {found}" if found else "is not there"
        super().__init__(
            f"document {id_[:80]!r} {state}, which is not what this write expects: read it again"
        )
        self.id = id_
        self.found = found


class KeyReused(StoreError):
    """Another write came with this idempotency key within the last day."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"the idempotency key {key!r} came with another request: send this one with a new key"
        )
        self.key = key


class InvalidDocument(StoreError):
    """The document ``id`` holds something that cannot be stored, and ``why``."""

    def __init__(self, id_: str, why: str) -> None:
        super().__init__(f"document {id_[:80]!r} cannot be stored: {why}")
        self.id = id_
        self.why = why


class InvalidVector(StoreError):
    """A vector of the wrong length, with NaN or infinity, too large, or zero under cosine."""


class InvalidFilter(StoreError):
    """The filter cannot be understood; ``operator`` is the part that is to blame, if one is."""

    def __init__(self, message: str, operator: str | None = None) -> None:
        super().__init__(message)
        self.operator = operator


class InvalidQuery(StoreError):
    """The query has nothing to search by, or a number out of its range."""


class InvalidCursor(StoreError):
    """The cursor is of another collection, of one that had this name before, or was changed on the way."""

    def __init__(self) -> None:
        super().__init__("this collection did not give that cursor: start again without one")


class HistoryLost(StoreError):
    """The moment ``after`` is not one of those that are remembered: from ``first`` to ``last``."""

    def __init__(self, after: int, first: int, last: int) -> None:
        super().__init__(
            f"the history of this collection is remembered from moment {first} to {last}, not from {after}:"
            " copy it anew"
        )
        self.after = after
        self.first = first
        self.last = last


class WriteQueueFull(StoreError):
    """Too many writes wait; the same request may succeed after ``retry_after_s`` seconds."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class JobNotHeld(StoreError):
    """A service has written for a job that another one works on by now, or that has ended."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"the job {job_id!r} has ended, or another service works on it")
        self.job_id = job_id


class DataFolderInUse(StoreError):
    """Another process (or another catalog of this one) has the data folder open."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"the data folder {path} is in use by another embedd process")
        self.path = path


class DataTooNew(StoreError):
    """The data was written by a newer version: format ``found``, while this one knows up to ``known``."""

    def __init__(self, found: int, known: int, path: Path | None = None) -> None:
        where = f" in {path}" if path else ""
        super().__init__(f"the data{where} has format {found}; this version knows formats up to {known}")
        self.found = found
        self.known = known


class DatabaseUnusable(StoreError):
    """The database server is too old, lacks what it takes, or holds something else."""


class InvalidBackup(StoreError):
    """A backup that is none, or is not as it was written."""


class WouldReplace(StoreError):
    """What would be written is there already."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"already there, and not replaced: {', '.join(names)}")
        self.names = tuple(names)


class CopyRefused(StoreError):
    """A collection cannot be copied to where it should go, or not any more."""


class StorageFull(StoreError):
    """No space is left for the write; nothing of it was kept."""


class StorageFailed(StoreError):
    """The disk or the database refused; nothing of the write was kept."""


class StoreUnavailable(StorageFailed):
    """The database server cannot be reached or takes no writes now; nothing of the write was kept.

    The same request may succeed after ``retry_after_s`` seconds.
    """

    def __init__(self, message: str, *, retry_after_s: float = 2.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OutcomeUnknown(StoreUnavailable):
    """The server did not say what became of a write that it was told to keep: it has all of it or nothing.

    A write that came with an idempotency key can be sent again; of others the document's version tells.
    """


class VectorsUnavailable(StoreError):
    """The engine that finds vectors does not answer, or cannot; whatever was written is where it was."""
