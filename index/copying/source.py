"""What a copy asks of the collection and of the catalog that it is made from."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from index.rows import Changes, CollectionSettings, DocumentCopy, Stamps


class Source(Protocol):
    """One collection, of which ``index.store.Store`` says what the methods give."""

    @property
    def settings(self) -> CollectionSettings: ...

    async def copies(self, after: str | None = None) -> list[DocumentCopy]: ...

    async def changes(self, after: int, limit: int) -> Changes: ...

    async def stamps(self, ids: Sequence[str]) -> dict[str, Stamps]: ...


class Sources(Protocol):
    """All of them, of which ``index.catalogs.Collections`` says what the methods give."""

    def names(self) -> list[str]: ...

    @property
    def aliases(self) -> Mapping[str, str]: ...

    async def refresh(self) -> None: ...

    async def resolve(self, name: str) -> str: ...

    async def get(self, name: str) -> Source: ...
