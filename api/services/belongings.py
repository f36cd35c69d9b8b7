"""What belongs to a catalog beside its collections, as rows that can be copied into another one: API keys,
the models that were added, and conversations.

A row has its values as the tables have them, in the order of the columns below; texts are as users wrote
them. What is there already stays: a copy adds, ends keys that were revoked, and goes on with conversations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from api.security import key_store
from api.services.model_rows import SHARED_NAMES

Row: TypeAlias = tuple[Any, ...]

KEY_COLUMNS: Final = key_store.COLUMNS
MODEL_COLUMNS: Final = ", ".join(SHARED_NAMES)
CONVERSATION_COLUMNS: Final = (
    "id, title, model, retrieval, metadata, created_at, updated_at, expires_at, lasts"
)
MESSAGE_COLUMNS: Final = "id, role, content, created_at, details"


class Belongings(Protocol):
    """Those of one catalog. Every method may raise StoreError."""

    async def keys(self) -> Sequence[Row]: ...

    async def models(self) -> Sequence[Row]: ...

    async def sizes(self) -> Mapping[str, int]:
        """How many messages each conversation has."""
        ...

    async def conversation(self, id: str) -> tuple[Row, Sequence[Row]] | None:
        """It and its messages, oldest first; None if it is gone."""
        ...

    async def add_keys(self, rows: Sequence[Row]) -> None:
        """Those that are new, and of the others whether they were revoked."""
        ...

    async def add_models(self, rows: Sequence[Row]) -> None:
        """Those that are new."""
        ...

    async def add_conversation(self, row: Row, messages: Sequence[Row]) -> None:
        """It, or of one that is there the messages behind those that it has."""
        ...


@dataclass(frozen=True, slots=True)
class Copied:
    """How many there are of each in the source."""

    keys: int
    models: int
    conversations: int


async def copy_belongings(source: Belongings, target: Belongings) -> Copied:
    """Add what the source has to the target.

    Raises:
        StoreError: not all of it was added; it may be done again.
    """
    keys, models, there = await source.keys(), await source.models(), await target.sizes()
    await target.add_keys(keys)
    await target.add_models(models)
    sizes = await source.sizes()
    for id_, size in sizes.items():
        if there.get(id_, -1) < size and (found := await source.conversation(id_)) is not None:
            await target.add_conversation(*found)
    return Copied(len(keys), len(models), len(sizes))
