"""One collection in PostgreSQL, as ``index.store.Store``, where the methods are described.

This is the facade: what writes is in ``upserts``, ``deletion``, ``patches`` and ``jobs``, each write a turn
of ``writer``; what reads in ``documents``, ``points``, ``transfer`` and ``changes``; search in files of its
own.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from index import cursors, document_patch, document_writes
from index.collection_settings import check_description
from index.documents import decode_document, encode_document
from index.errors import CollectionNotFound
from index.filters import Filter
from index.postgres import (
    changes,
    deletion,
    documents,
    facets,
    idempotency,
    jobs,
    leases,
    patches,
    points,
    statistics,
    transfer,
    upserts,
)
from index.postgres.database import Database, Reader
from index.postgres.idempotency import carried_out_once
from index.postgres.notices import notify
from index.postgres.readers import OfCollection
from index.postgres.search import Search
from index.postgres.tables import Tables
from index.postgres.text import encode_text
from index.postgres.uploads import PostgresUploads
from index.postgres.writer import Turn, Write, Writer
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
from index.writer import weight

T = TypeVar("T")


class PostgresCollection:
    """Made by a catalog, of ``settings``, with the tables ``tables`` and the secret that it signs cursors
    with. ``stale`` reads what may be a moment old. Receipts are the holder's.
    """

    def __init__(
        self,
        database: Database,
        stale: Reader,
        tables: Tables,
        settings: CollectionSettings,
        *,
        secret: bytes,
        holder: str,
        spool: Path,
    ) -> None:
        self.tables = tables
        self._settings = settings
        self._secret = secret
        self._holder = holder
        self._reader = OfCollection(database, settings.name)
        self._stale = OfCollection(stale, settings.name)
        self._writer = Writer(database, tables, settings.name)
        self._search = Search(settings, tables, self._reader, self._stale)
        self._uploads = PostgresUploads(database, tables, spool)

    @property
    def settings(self) -> CollectionSettings:
        return self._settings

    @property
    def uploads(self) -> PostgresUploads:
        return self._uploads

    def know_description(self, description: str) -> None:
        """Somebody changed it."""
        self._settings = replace(self._settings, description=description)

    def close(self) -> None:
        """It was dropped, or its catalog ends: from now on every call says CollectionNotFound."""
        self._reader.is_closed = self._stale.is_closed = True

    async def describe(self, description: str) -> None:
        check_description(description)

        async def write(turn: Turn) -> None:
            sql = "UPDATE collections SET description = $2 WHERE key = $1"
            await turn.connection.execute(sql, turn.tables.key, encode_text(description))
            await notify(turn.connection)

        await self._write(write)
        self.know_description(description)

    async def upsert(
        self,
        new: Sequence[Document],
        receipts: Sequence[Receipt] = (),
        stamps: Mapping[str, Stamps] | None = None,
        once: Once | None = None,
    ) -> None:
        self._refuse_closed()
        prepared = await upserts.prepare(new, self._settings)

        async def write(turn: Turn) -> None:
            await upserts.upsert(turn, prepared, stamps)
            await self._settle(turn, receipts)

        try:
            await self._write(carried_out_once(once, write), document_writes.weight(new))
        except upserts.IdTaken as error:
            raise await upserts.taken_id(self._reader, self.tables, prepared) from error

    async def settle(self, receipts: Sequence[Receipt]) -> None:
        await self._write(lambda turn: self._settle(turn, receipts))

    async def _settle(self, turn: Turn, receipts: Sequence[Receipt]) -> None:
        if receipts:
            await leases.refuse_lost(turn, self._holder, {receipt.job_id for receipt in receipts})
            await jobs.settle(turn, receipts)

    async def patch(
        self,
        document_id: str,
        patch: DocumentPatch,
        versions: Container[int] | None = None,
        once: Once | None = None,
    ) -> StoredDocument | None:
        document_patch.check(document_id, patch)

        async def write(turn: Turn) -> StoredDocument | None:
            return await patches.apply(turn, document_id, patch, versions, self._settings.tokenizer)

        return await self._write(carried_out_once(once, write, encode_document, decode_document))

    async def delete(
        self, ids: Sequence[str], versions: Container[int] | None = None, once: Once | None = None
    ) -> int:
        write = partial(deletion.delete_ids, ids=ids, versions=versions)
        return await self._write(carried_out_once(once, write))

    async def delete_matching(self, condition: Filter, once: Once | None = None) -> int:
        write = partial(deletion.delete_matching, condition=condition)
        return await self._write(carried_out_once(once, write))

    async def remembered(self, once: Once) -> Any:
        return await idempotency.remembered(self._reader, self.tables, once)

    async def search(self, query: Query) -> SearchResult:
        return await self._search.search(query)

    async def search_many(self, queries: Sequence[Query]) -> list[SearchResult]:
        return await self._search.search_many(queries)

    async def idf(self, words: Sequence[str]) -> dict[str, float]:
        return await self._search.idf(words)

    async def document(self, document_id: str, *, with_text: bool = False) -> StoredDocument | None:
        return await documents.by_id(self._reader, self.tables, document_id, with_text=with_text)

    async def documents(self, limit: int, after: str | None = None) -> list[StoredDocument]:
        return await documents.listed(self._reader, self.tables, limit, after)

    async def copies(self, after: str | None = None) -> list[DocumentCopy]:
        return await transfer.read_page(self._reader, self.tables, after)

    async def changes(self, after: int, limit: int) -> Changes:
        return await changes.read_page(self._reader, self.tables, self._settings.name, after, limit)

    async def stamps(self, ids: Sequence[str]) -> dict[str, Stamps]:
        return await documents.stamps(self._reader, self.tables, ids)

    async def revisions(self, ids: Sequence[str]) -> dict[str, Revision]:
        return await documents.revisions(self._reader, self.tables, ids)

    async def vectors_by_digest(self, digests: Sequence[str]) -> dict[str, PassageVectors]:
        return await points.vectors_by_digest(self._reader, self.tables, digests)

    async def points(
        self, ids: Sequence[str], *, with_vectors: bool = False, with_token_vectors: bool = False
    ) -> list[StoredPoint]:
        return await points.by_id(
            self._reader, self.tables, ids, with_vectors=with_vectors, with_token_vectors=with_token_vectors
        )

    async def scroll(
        self,
        limit: int,
        after: str | None = None,
        condition: Filter | None = None,
        *,
        with_vectors: bool = False,
    ) -> tuple[list[StoredPoint], str | None]:
        self._refuse_closed()
        behind = 0 if after is None else cursors.verify(after, self._secret)
        page, last = await points.scroll(
            self._reader, self.tables, limit, behind, condition, with_vectors=with_vectors
        )
        return page, None if last is None else cursors.sign(last, self._secret)

    async def sample(self, limit: int) -> list[StoredPoint]:
        return await points.sample(self._stale, self.tables, limit)

    async def count(self, condition: Filter | None = None) -> int:
        return await facets.count_points(self._reader, self.tables, condition)

    async def facets(self, key: str, limit: int, condition: Filter | None = None) -> Facets:
        return await facets.count_values(self._stale, self.tables, key, limit, condition)

    async def statistics(self) -> CollectionStatistics:
        return await statistics.read(self._reader, self.tables)

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
        return await jobs.pending_items(self._reader, self.tables, job_id, limit)

    async def job(self, job_id: str) -> JobState | None:
        return await jobs.state(self._reader, self.tables, job_id)

    async def jobs(self, limit: int) -> list[JobState]:
        return await jobs.newest(self._reader, self.tables, limit)

    async def cancel_job(self, job_id: str) -> None:
        await self._write(partial(jobs.cancel, job_id=job_id))

    async def job_results(self, job_id: str) -> list[Mapping[str, Any] | None]:
        return await jobs.results(self._reader, self.tables, job_id)

    async def unfinished_jobs(self) -> list[str]:
        return await jobs.unfinished(self._reader, self.tables)

    async def keep_up(self, write: Write[T]) -> T:
        """Upkeep, behind the writes that wait."""
        return await self._write(write, 0)

    async def _write(self, write: Write[T], rows: int = 1) -> T:
        self._refuse_closed()
        result = await self._writer.submit(write, rows)
        self._search.follow(self._writer.last_change)
        return result

    def _refuse_closed(self) -> None:
        if self._reader.is_closed:
            raise CollectionNotFound(self._settings.name)
