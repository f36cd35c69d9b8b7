"""The seam between the service and whatever keeps its collections.

``Collections`` is all that the service sees of a catalog; ``index.catalog.Catalog`` is the embedded one. A
catalog that several services share changes under each of them: what one has changed, the others hear of
within a moment, and at once where they ask for it.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from index.rows import CollectionSettings
from index.store import Store


class Collections(Protocol):
    """All collections, and the aliases that stand for some of them. A name is one or the other.

    Every method may raise StorageFull and StorageFailed; then nothing was changed.
    """

    def names(self) -> list[str]:
        """The names of all collections, sorted, as far as they are known here."""
        ...

    @property
    def leases(self) -> "Leases | None":
        """Who works on which job; None if nobody else has these collections."""
        ...

    @property
    def aliases(self) -> Mapping[str, str]:
        """The collection that every alias stands for, as far as they are known here."""
        ...

    async def refresh(self) -> None:
        """Know of every name and alias that anybody made, dropped or moved before this was called."""
        ...

    async def resolve(self, name: str) -> str:
        """The collection that ``name`` stands for; itself, if it is no alias."""
        ...

    async def get(self, name: str) -> Store:
        """The collection of that name or alias.

        Raises:
            CollectionNotFound: there is none.
        """
        ...

    async def create(self, settings: CollectionSettings) -> tuple[Store, bool]:
        """The collection, and whether it is new; one that has exactly these settings is as good.

        Without a ``quantization`` one that is there keeps its own, and a new one has what serves as well.

        Raises:
            InvalidName, InvalidSettings: there can be no such collection.
            NameTaken: the name is an alias.
            CollectionExists: it has other settings.
        """
        ...

    async def drop(self, name: str) -> None:
        """Remove a collection, everything in it and its aliases; whoever still uses it hears
        CollectionNotFound.

        Raises:
            CollectionNotFound: there is none.
            NameTaken: the name is an alias; nobody loses a collection by what may stand for another soon.
        """
        ...

    async def assign(self, alias: str, name: str) -> bool:
        """Let ``alias`` stand for the collection ``name`` from now on; gives whether it is new.

        Raises:
            InvalidName: ``alias`` can be no name.
            NameTaken: a collection has it, or ``name`` is an alias itself.
            CollectionNotFound: there is no collection ``name``.
        """
        ...

    async def switch(self, aliases: Sequence[str], old: str, new: str) -> None:
        """Give aliases of the collection ``old`` to ``new``, all at once; those that it has already stay.

        Raises:
            NameTaken: one of them is another's, or none; nothing was changed.
            CollectionNotFound: there is no collection ``new``.
        """
        ...

    async def unassign(self, alias: str) -> bool:
        """Take an alias away; gives whether it was there."""
        ...


class Leases(Protocol):
    """Jobs of a catalog that several services share, each held by one of them for some seconds at a time.

    A write with receipts, and ``settle``, raise JobNotHeld for a job that the service does not hold, or that
    has ended, and write nothing: so what a service does that was thought dead comes too late.

    Every method may raise StorageFailed.
    """

    async def claim(self) -> str | None:
        """The id of a job that is this service's from now on: of the oldest unfinished ones of all
        collections that nobody holds, the one that was let go longest ago. None if there is none.
        """
        ...

    async def renew(self, job_ids: Collection[str]) -> frozenset[str]:
        """Hold these for longer; gives those of them that are still held by this service, and unfinished."""
        ...

    async def release(self, job_id: str, pause_s: float) -> None:
        """Let others have the job, in so many seconds at the earliest; of others' jobs nothing changes."""
        ...
