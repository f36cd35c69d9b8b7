"""The collections of a data folder, read while a service may be writing to them.

Nothing is written, locked or loaded: the database of each collection is opened for reading, where each
statement sees one committed state beside the service's writer.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

from index import files, history, transfer, truth
from index.aliases import Aliases
from index.database import BUSY_TIMEOUT_S, FILE_NAME, translate
from index.errors import CollectionNotFound, DataTooNew, StorageFailed
from index.migrations import MIGRATIONS
from index.one_thread import OneThread
from index.readers import Readers
from index.rows import Changes, CollectionSettings, DocumentCopy, Stamps


class FolderSource:
    """One collection, of which there is one ``file``."""

    def __init__(self, readers: Readers, settings: CollectionSettings, file: int) -> None:
        self.file = file
        self._readers = readers
        self._settings = settings

    @property
    def settings(self) -> CollectionSettings:
        return self._settings

    async def copies(self, after: str | None = None) -> list[DocumentCopy]:
        return await transfer.read_page(self._readers, after)

    async def changes(self, after: int, limit: int) -> Changes:
        return await history.read_page(self._readers, after, limit)

    async def stamps(self, ids: Sequence[str]) -> dict[str, Stamps]:
        return await transfer.stamps_of(self._readers, ids)


class FolderSources:
    """Made by ``open_folder``; knows of what was there at its last ``refresh``."""

    def __init__(self, data: Path, stack: AsyncExitStack) -> None:
        self._data = data
        self._stack = stack
        self._names: list[str] = []
        self._aliases: Mapping[str, str] = {}
        self._opened: dict[str, FolderSource] = {}

    def names(self) -> list[str]:
        return self._names

    @property
    def aliases(self) -> Mapping[str, str]:
        return self._aliases

    async def refresh(self) -> None:
        self._names = await asyncio.to_thread(files.collection_names, self._data)
        self._aliases = (await asyncio.to_thread(Aliases, self._data)).targets

    async def resolve(self, name: str) -> str:
        return self._aliases.get(name, name)

    async def get(self, name: str) -> FolderSource:
        name = await self.resolve(name)
        folder = self._data / files.COLLECTIONS / name
        try:
            file = (folder / FILE_NAME).stat().st_ino
        except OSError:
            raise CollectionNotFound(name) from None
        known = self._opened.get(name)
        if known is None or known.file != file:  # dropped since, and made anew
            known = self._opened[name] = await self._open(folder, name, file)
        return known

    async def _open(self, folder: Path, name: str, file: int) -> FolderSource:
        settings = await asyncio.to_thread(_read_settings, folder, name)
        thread = OneThread("copy-source")
        readers = Readers(folder, name, thread)
        self._stack.push_async_callback(thread.close)
        self._stack.push_async_callback(readers.close)
        return FolderSource(readers, settings, file)


def _read_settings(folder: Path, name: str) -> CollectionSettings:
    path = folder / FILE_NAME
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)) as connection:
            found: int = connection.execute("PRAGMA user_version").fetchone()[0]
            if found > len(MIGRATIONS):
                raise DataTooNew(found, len(MIGRATIONS), path)
            if found < len(MIGRATIONS):
                raise StorageFailed(
                    f"{path} was written by an older version: start the service of this one on its data"
                    " folder once, which brings it up to date"
                )
            return truth.read_settings(connection, name)
    except sqlite3.Error as error:
        raise translate(error, path) from error


@asynccontextmanager
async def open_folder(data: Path) -> AsyncIterator[FolderSources]:
    """The collections of the data folder, for as long as the block runs.

    Raises:
        StorageFailed: it is no data folder.
    """
    if not (data / files.COLLECTIONS).is_dir():
        raise StorageFailed(f"{data} is not a data folder: it has no folder {files.COLLECTIONS!r}")
    async with AsyncExitStack() as stack:
        sources = FolderSources(data, stack)
        await sources.refresh()
        yield sources
