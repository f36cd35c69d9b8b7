"""How far a copy has come, kept with the collection that it is made in, and gone with it."""

import asyncio
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Protocol

import msgspec

from index import files
from index.errors import StorageFailed

FILE_NAME: Final = "copy.json"


@dataclass(frozen=True, slots=True)
class Mark:
    """That all which happened until ``moment`` of the history named ``source`` is in the target. While it is
    ``filling``, only what the documents up to the id ``behind`` were at that moment or later.

    ``written`` is the last moment of the target's own history when this was kept: what was written to it
    behind that, but for few batches of the copy, is not the copy's.
    """

    source: str
    moment: int
    written: int
    filling: bool = False
    behind: str = ""


class Marks(Protocol):
    """Those of one catalog. A mark is kept behind what it stands for, so it never says too much.

    Every method may raise StorageFull and StorageFailed.
    """

    async def read(self, name: str) -> Mark | None:
        """The mark of the collection ``name``, if it has one."""
        ...

    async def write(self, name: str, mark: Mark) -> None:
        """Keep it for good, in the place of the one before."""
        ...


class FolderMarks:
    """In a file of each collection of a data folder."""

    def __init__(self, data: Path) -> None:
        self._folder = data / files.COLLECTIONS

    async def read(self, name: str) -> Mark | None:
        return await asyncio.to_thread(_read, self._folder / name / FILE_NAME)

    async def write(self, name: str, mark: Mark) -> None:
        await asyncio.to_thread(_write, self._folder / name / FILE_NAME, mark)


def _read(path: Path) -> Mark | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Mark)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise StorageFailed(f"{path} cannot be read: {error}") from error


def _write(path: Path, mark: Mark) -> None:
    draft = path.with_name(f"{path.name}.tmp")
    with files.disk_in_words("how far the copy has come cannot be written"):
        draft.write_bytes(msgspec.json.encode(asdict(mark)))
        files.sync(draft)
        draft.replace(path)
        files.sync(path.parent)
