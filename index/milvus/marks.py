"""How far each collection's Milvus rows have come, kept beside them: in a Milvus collection of its own.

What is not there any more, because Milvus was made anew, takes its marks along; so they never say more than
what Milvus has. A mark is written after the rows that it stands for. Several services may write one: each
says only what is true, and the older of two costs nothing but to look again. Where two services have begun in
places of their own, the one counts whose mark was written last.
"""

from dataclasses import asdict, dataclass
from typing import Final

from index.milvus.server import Milvus
from index.milvus.shape import Field, Shape

_LONGEST: Final = 2_048
_SHAPE: Final = Shape(
    (
        Field("name", "VARCHAR", {"max_length": 64}),
        Field("history", "VARCHAR", {"max_length": 64}),
        Field("place", "VARCHAR", {"max_length": 256}),
        Field("moment", "INT64", {}),
        Field("filling", "BOOL", {}),
        Field("behind", "VARCHAR", {"max_length": _LONGEST}),
    ),
    # Milvus has no collection without vectors.
    dim=2,
    metric="IP",
)


@dataclass(frozen=True, slots=True)
class Mark:
    """That all which happened until ``moment`` of the truth's ``history`` is in Milvus, in its collection
    ``place``. While it is being ``filling``, only what the documents up to the id ``behind`` were at that
    moment or later.
    """

    history: str
    place: str
    moment: int
    filling: bool = False
    behind: str = ""


class Marks:
    """Those of the collections whose names in Milvus begin with ``prefix``."""

    def __init__(self, milvus: Milvus, prefix: str) -> None:
        self._milvus = milvus
        self._place = f"{prefix}places"

    async def read(self, name: str) -> Mark | None:
        """The mark of the collection ``name``."""
        if await self._milvus.has(self._place):
            await self._milvus.load(self._place)
        else:
            await self._milvus.create(self._place, _SHAPE)
        fields = ["history", "place", "moment", "filling", "behind"]
        found = await self._milvus.rows(self._place, f'name == "{name}"', fields)
        return Mark(**{field: found[0][field] for field in fields}) if found else None

    async def is_overtaken(self, name: str, mark: Mark) -> bool:
        """Whether there is the mark of another service, which began as well, in a place of its own.

        One of two such services lets go of its place and follows the other. Never do both: who has seen the
        mark of the other writes no more, so the other one sees its own.
        """
        kept = await self.read(name)
        if kept is None or kept.place == mark.place or kept.history != mark.history:
            return False
        return await self._milvus.has(kept.place)

    async def write(self, name: str, mark: Mark) -> None:
        """Keep it in the place of an older one."""
        await self._milvus.upsert(self._place, [{"name": name, **asdict(mark), "vector": [0.0, 1.0]}])

    async def remove(self, name: str) -> None:
        """There is no such collection any more."""
        await self._milvus.delete(self._place, f'name == "{name}"')
