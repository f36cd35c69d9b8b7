"""What of a collection is in memory while it is in use: its vectors, the graph, the tasks that tend them, and
the documents' attributes, and how words score.

All of it is made from the collection's files when it is first needed, and can be dropped whenever nobody uses
it. It follows committed writes in their order, on the event loop; loading is one of them, so that what was
loaded lacks nothing and has nothing twice.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from index import truth
from index.attributes import Attributes
from index.errors import CollectionNotFound
from index.graph import Graph, GraphShape
from index.growth import GraphGrowth, GraphTuning
from index.one_thread import OneThread
from index.readers import Readers
from index.rows import CollectionSettings
from index.upkeep import Upkeep, UpkeepTuning
from index.vectors import VectorTable
from index.word_scores import WordScores
from index.writer import Change, Writer


class Resident:
    """Made for a table that was just loaded; ``close`` ends what tends it."""

    def __init__(
        self,
        table: VectorTable,
        growth: GraphGrowth,
        upkeep: Upkeep,
        attributes: Attributes,
        words: WordScores,
    ) -> None:
        self.table = table
        self.growth = growth
        self.upkeep = upkeep
        self.attributes = attributes
        self.words = words

    @property
    def graph(self) -> Graph | None:
        return self.growth.graph

    @property
    def memory_bytes(self) -> int:
        """About how much it takes, without what is mapped from files."""
        graph = self.graph.memory_bytes if self.graph else 0
        return self.table.memory_bytes + graph + self.attributes.memory_bytes + self.words.memory_bytes

    def follow(self, change: Change[Any]) -> None:
        """Do what a commit did."""
        self.attributes.follow(change)
        self.words.follow(change)
        if change.removed is not None:
            self.table.remove(change.removed)
        if change.added is not None:
            self.table.append(change.added.seqs, change.added.documents, change.added.vectors)
        if change.removed is not None or change.added is not None:
            self.growth.follow(change.removed)
        if change.replaces or change.added is not None:
            self.upkeep.follow(replaced=change.replaces)

    async def close(self, *, store_graph: bool = True) -> None:
        """Stop, and keep the graph for the next time."""
        self.attributes.close()
        self.words.close()
        await self.upkeep.close()
        await self.growth.close(store=store_graph)


class Memory:
    """One collection's; empty when it is made. On ``thread`` its graph is changed and searched."""

    def __init__(
        self,
        folder: Path,
        settings: CollectionSettings,
        writer: Writer,
        readers: Readers,
        thread: OneThread,
        *,
        tuning: GraphTuning,
        upkeep: UpkeepTuning,
    ) -> None:
        self.resident: Resident | None = None
        self.last_used = 0.0
        self._folder = folder
        self._settings = settings
        self._writer = writer
        self._readers = readers
        self._thread = thread
        self._tuning = tuning
        self._upkeep = upkeep
        self._users = 0
        # One loads and the others wait for it, and also for what is being dropped.
        self._changing = asyncio.Lock()
        self._closed = False

    @property
    def size_bytes(self) -> int:
        """About how much there is; 0 while the collection is not in use."""
        return self.resident.memory_bytes if self.resident else 0

    @asynccontextmanager
    async def in_use(self) -> AsyncIterator[Resident]:
        """What is in memory; it is loaded if it has to be, and stays until this is left.

        Raises:
            CollectionNotFound: it is closed.
            StorageFailed: it cannot be loaded.
        """
        self._users += 1
        try:
            yield self.resident or await self.load()
        finally:
            self._users -= 1
            self.last_used = time.monotonic()

    async def load(self) -> Resident:
        """What is in memory, and now it is.

        Raises:
            CollectionNotFound, StorageFailed: as in ``in_use``.
        """
        async with self._changing:
            if self._closed:
                raise CollectionNotFound(self._settings.name)
            if self.resident is None:
                await self._writer.submit(self._read, rows=0)
            assert self.resident is not None
            return self.resident

    def _read(self, connection: sqlite3.Connection) -> Change[None]:
        return Change(None, loaded=truth.load_vectors(connection, self._settings, self._folder))

    def follow(self, change: Change[Any]) -> None:
        """Do what a commit did, if anything is loaded."""
        if self.resident is not None:
            # One that was loaded for somebody who did not wait is as good as one that is loaded again.
            self.resident.follow(change)
        elif change.loaded is not None:
            self.resident = self._tended(change.loaded)

    def _tended(self, table: VectorTable) -> Resident:
        tuning = self._tuning
        quantised = self._settings.quantization == "int8"
        shape = GraphShape(table.dim, table.metric, tuning.m, tuning.ef_construction, quantised)
        growth = GraphGrowth(self._folder, table, shape, tuning, self._thread)
        upkeep = Upkeep(self._folder, table, growth, self._writer, self._upkeep)
        attributes = Attributes(self._folder, self._settings.name, self._writer.followed)
        words = WordScores(self._readers, table, self._settings.tokenizer)
        return Resident(table, growth, upkeep, attributes, words)

    async def drop(self) -> bool:
        """Empty it, until somebody needs it; False if somebody does, or if files wait to be rid of what was
        deleted.
        """
        resident = self.resident
        if resident is None or self._users or self._changing.locked() or resident.upkeep.is_erasing:
            return False
        async with self._changing:
            self.resident = None
            await resident.close()
        return True

    async def close(self, *, store_graph: bool) -> None:
        """Close the writer as well, which upkeep needs and which may be loading."""
        self._closed = True
        async with self._changing:
            if self.resident is not None:
                await self.resident.upkeep.close()
            await self._writer.close()
            if self.resident is not None:
                await self.resident.close(store_graph=store_graph)
