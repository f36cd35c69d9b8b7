"""One embedded collection: SQLite is the truth, the vectors in memory and the graph follow it.

This is the facade; documents, points, jobs, search and the graph's growth have files of their own. A write
is queued, committed with others, then shown to memory, then acknowledged, so a search that starts after the
acknowledgement sees it. Implements ``index.store.Store``, where the methods are described.
"""

import asyncio
import sqlite3
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from index import (
    cursors,
    document_patch,
    document_writes,
    documents,
    facets,
    full_text,
    history,
    idempotency,
    jobs,
    points,
    search,
    transfer,
    truth,
)
from index.collection_settings import check_description
from index.database import open_for_writing
from index.errors import CollectionNotFound
from index.expiry import Expiry, first_moment
from index.filter_sql import compile_filter
from index.filters import Filter
from index.growth import GraphTuning
from index.idempotency import carried_out_once
from index.lexical import inverse_frequency, plain_words
from index.memory import Memory, Resident
from index.one_thread import OneThread
from index.readers import Readers
from index.rows import (
    Changes,
    CollectionSettings,
    CollectionStatistics,
    Document,
    DocumentCopy,
    DocumentPatch,
    Facets,
    JobItem,
    JobState,
    Once,
    PassageVectors,
    Query,
    Receipt,
    Revision,
    SearchResult,
    Stamps,
    StoredDocument,
    StoredPoint,
)
from index.search import Sources
from index.upkeep import UpkeepTuning
from index.uploads import FolderUploads
from index.writer import Change, Write, Writer, weight

T = TypeVar("T")

UPLOADS: Final = "uploads"
# Counting a word costs up to 40 ns for every point that has it.
_COUNTED_POINTS: Final = 20_000


class Collection:
    """Made by ``open_collection``; ``close`` ends it, and every later call says CollectionNotFound."""

    def __init__(
        self,
        folder: Path,
        settings: CollectionSettings,
        connection: sqlite3.Connection,
        tuning: GraphTuning,
        upkeep: UpkeepTuning,
        *,
        first_expiry: str | None,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._uploads = FolderUploads(folder / UPLOADS)
        self._thread = OneThread("index-search")
        self._readers = Readers(folder, settings.name, self._thread)
        self._writer = Writer(connection, self._follow)
        self._memory = Memory(
            folder, settings, self._writer, self._readers, self._thread, tuning=tuning, upkeep=upkeep
        )
        self._expiry = Expiry(self._readers, self._writer, self._memory.follow, first_expiry)
        # What cursors are signed with, once one was.
        self._secret: bytes | None = None
        self._closed = False

    @property
    def settings(self) -> CollectionSettings:
        return self._settings

    @property
    def uploads(self) -> FolderUploads:
        return self._uploads

    async def describe(self, description: str) -> None:
        check_description(description)
        await self._write(lambda connection: truth.write_description(connection, description))

    async def upsert(
        self,
        new: Sequence[Document],
        receipts: Sequence[Receipt] = (),
        stamps: Mapping[str, Stamps] | None = None,
        once: Once | None = None,
    ) -> None:
        encode = partial(document_writes.encode_documents, new, self._settings.dim, self._settings.metric)
        encoded = encode() if document_writes.is_small(new) else await asyncio.to_thread(encode)

        def write(connection: sqlite3.Connection) -> Change[None]:
            change = document_writes.upsert(connection, encoded, stamps)
            jobs.settle(connection, receipts)
            return change

        async with self._memory.in_use():
            await self._write(carried_out_once(once, write), document_writes.weight(new))

    async def settle(self, receipts: Sequence[Receipt]) -> None:
        await self._write(lambda connection: jobs.settle(connection, receipts))

    async def patch(
        self,
        document_id: str,
        patch: DocumentPatch,
        versions: Container[int] | None = None,
        once: Once | None = None,
    ) -> StoredDocument | None:
        document_patch.check(document_id, patch)

        def write(connection: sqlite3.Connection) -> Change[StoredDocument | None]:
            self._expiry.leave_open(document_id)
            return document_patch.apply(connection, document_id, patch, versions)

        return await self._write(
            carried_out_once(once, write, documents.encode_document, documents.decode_document)
        )

    async def delete(
        self, ids: Sequence[str], versions: Container[int] | None = None, once: Once | None = None
    ) -> int:
        write = partial(document_writes.delete_ids, ids=ids, versions=versions)
        return await self._write(carried_out_once(once, write))

    async def delete_matching(self, condition: Filter, once: Once | None = None) -> int:
        write = partial(document_writes.delete, condition=compile_filter(condition))
        return await self._write(carried_out_once(once, write))

    async def remembered(self, once: Once) -> Any:
        return await idempotency.remembered(self._readers, once)

    async def search(self, query: Query) -> SearchResult:
        async with self._memory.in_use() as memory:
            return await search.search(query, self._settings, self._sources(memory))

    async def search_many(self, queries: Sequence[Query]) -> list[SearchResult]:
        async with self._memory.in_use() as memory:
            return await search.search_many(queries, self._settings, self._sources(memory))

    async def idf(self, words: Sequence[str]) -> dict[str, float]:
        async with self._memory.in_use() as memory:
            newest = memory.table.view().newest(_COUNTED_POINTS)
        wanted, total = plain_words(words, self._settings.tokenizer), len(newest)
        found = await full_text.passages_with(self._readers, wanted, newest.first_seq - 1)
        return {word: inverse_frequency(total, count) for word, count in found.items()}

    async def document(self, document_id: str, *, with_text: bool = False) -> StoredDocument | None:
        return await documents.by_id(self._readers, document_id, with_text=with_text)

    async def documents(self, limit: int, after: str | None = None) -> list[StoredDocument]:
        return await documents.listed(self._readers, limit, after)

    async def copies(self, after: str | None = None) -> list[DocumentCopy]:
        return await transfer.read_page(self._readers, after)

    async def changes(self, after: int, limit: int) -> Changes:
        return await history.read_page(self._readers, after, limit)

    async def stamps(self, ids: Sequence[str]) -> dict[str, Stamps]:
        return await transfer.stamps_of(self._readers, ids)

    async def revisions(self, ids: Sequence[str]) -> dict[str, Revision]:
        return await documents.revisions(self._readers, ids)

    async def vectors_by_digest(self, digests: Sequence[str]) -> dict[str, PassageVectors]:
        return await points.vectors_by_digest(self._readers, digests)

    async def points(
        self, ids: Sequence[str], *, with_vectors: bool = False, with_token_vectors: bool = False
    ) -> list[StoredPoint]:
        parts = points.Parts(vectors=with_vectors, token_vectors=with_token_vectors)
        return await points.by_id(self._readers, ids, parts)

    async def scroll(
        self,
        limit: int,
        after: str | None = None,
        condition: Filter | None = None,
        *,
        with_vectors: bool = False,
    ) -> tuple[list[StoredPoint], str | None]:
        secret = self._secret = self._secret or await cursors.read_secret(self._readers)
        behind = 0 if after is None else cursors.verify(after, secret)
        page, last = await points.scroll(self._readers, limit, behind, condition, with_vectors=with_vectors)
        return page, None if last is None else cursors.sign(last, secret)

    async def sample(self, limit: int) -> list[StoredPoint]:
        async with self._memory.in_use() as memory:
            await self._expiry.hide()
            seqs = memory.table.view().seqs()
        spread = np.unique(np.linspace(0, len(seqs) - 1, min(limit, len(seqs))).round().astype(np.int64))
        return await points.of_seqs(self._readers, seqs[spread].tolist())

    async def count(self, condition: Filter | None = None) -> int:
        self._refuse_closed()
        if condition is None:
            await self._expiry.hide()
            memory = self._memory.resident
            return len(memory.table.view()) if memory else await points.count(self._readers)
        async with self._memory.in_use() as loaded:
            await self._expiry.hide()
            return await facets.count_points(loaded, condition)

    async def facets(self, key: str, limit: int, condition: Filter | None = None) -> Facets:
        async with self._memory.in_use() as memory:
            await self._expiry.hide()
            return await facets.count_values(memory, key, limit, condition)

    async def statistics(self) -> CollectionStatistics:
        count = await self.count()
        memory = self._memory.resident
        graph = memory.graph if memory else None
        return CollectionStatistics(
            documents=await documents.count(self._readers),
            points=count,
            graph_points=graph.live if graph else 0,
            graph_deleted=graph.deleted if graph else 0,
            size_bytes=await asyncio.to_thread(_size_bytes, self._folder),
            memory_bytes=self._memory.size_bytes,
            mapped_bytes=memory.table.mapped_bytes if memory else 0,
        )

    async def add_job(
        self,
        job_id: str,
        payloads: Sequence[bytes],
        once: Once | None = None,
        sizes: Sequence[int] | None = None,
    ) -> str:
        lengths = [len(payload) for payload in payloads]
        add = partial(jobs.add, job_id=job_id, payloads=payloads, sizes=lengths if sizes is None else sizes)
        return await self._write(carried_out_once(once, add), weight(len(payloads), sum(lengths)))

    async def pending_items(self, job_id: str, limit: int) -> list[JobItem]:
        return await jobs.pending_items(self._readers, job_id, limit)

    async def job(self, job_id: str) -> JobState | None:
        state = await jobs.state(self._readers, job_id)
        await self._can_be_found([state] if state else [])
        return state

    async def jobs(self, limit: int) -> list[JobState]:
        states = await jobs.newest(self._readers, limit)
        await self._can_be_found(states)
        return states

    async def _can_be_found(self, states: Sequence[JobState]) -> None:
        """Until whoever hears that one of these has ended finds what it wrote: the file knows of a commit
        before memory does.
        """
        if any(state.finished_at is not None for state in states):
            await self._writer.followed()

    async def cancel_job(self, job_id: str) -> None:
        await self._write(lambda connection: jobs.cancel(connection, job_id))

    async def job_results(self, job_id: str) -> list[Mapping[str, Any] | None]:
        return await jobs.results(self._readers, job_id)

    async def unfinished_jobs(self) -> list[str]:
        return await jobs.unfinished(self._readers)

    async def graph_settled(self) -> None:
        """Until the graph has caught up with everything written before (or is not needed)."""
        async with self._memory.in_use() as memory:
            await memory.growth.settled()

    @property
    def memory(self) -> Memory:
        """What of it is in memory."""
        return self._memory

    async def close(self, *, store_graph: bool = True) -> None:
        """Finish what was accepted, store the graph, and let go of every file."""
        self._closed = True
        await self._expiry.close()
        await self._readers.close()
        await self._memory.close(store_graph=store_graph)
        await self._thread.close()

    def _sources(self, memory: Resident) -> Sources:
        return Sources(
            memory.table, memory.graph, memory.attributes, memory.words, self._readers, self._expiry
        )

    async def _write(self, write: Write[T], rows: int = 1) -> T:
        self._refuse_closed()
        return await self._writer.submit(write, rows)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise CollectionNotFound(self._settings.name)

    def _follow(self, change: Change[Any]) -> None:
        if change.description is not None:
            self._settings = replace(self._settings, description=change.description)
        self._expiry.follow(change)
        self._memory.follow(change)


async def open_collection(folder: Path, tuning: GraphTuning, upkeep: UpkeepTuning) -> Collection:
    """The collection in ``folder``, whose name is its own; its vectors are loaded when they are needed.

    Raises:
        DataTooNew, StorageFailed, StorageFull: it cannot be opened.
    """
    connection, settings, first_expiry = await asyncio.to_thread(_read, folder)
    return Collection(folder, settings, connection, tuning, upkeep, first_expiry=first_expiry)


def _read(folder: Path) -> tuple[sqlite3.Connection, CollectionSettings, str | None]:
    connection = open_for_writing(folder)
    try:
        (folder / UPLOADS).mkdir(exist_ok=True)
        return connection, truth.read_settings(connection, folder.name), first_moment(connection)
    except BaseException:
        connection.close()
        raise


def _size_bytes(folder: Path) -> int:
    size = 0
    with suppress(FileNotFoundError):  # the collection is being dropped
        for path in folder.rglob("*"):
            with suppress(FileNotFoundError):  # the write-ahead log and uploads come and go
                size += path.stat().st_size if path.is_file() else 0
    return size
