"""One collection whose passages are found by Milvus; everything else is its truth's.

A write is committed by the truth, then brought to Milvus, then acknowledged. What Milvus cannot answer, or
not exactly as asked, the truth does: every search while rows are being made anew or Milvus is away, searches
that keep the graph out, and those by words alone. The plan of an answer says who found it. Implements
``index.store.Store``, where the methods are described.
"""

import asyncio
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from index.errors import OutcomeUnknown, VectorsUnavailable
from index.filters import Filter
from index.milvus.marks import Marks
from index.milvus.mirror import Mirror
from index.milvus.search import Sources, search, search_alike
from index.milvus.server import Milvus
from index.request import Request, alike, checked
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
from index.store import Store, Uploads
from index.together import together

# Queries that Milvus is asked at once.
_MOST_ALIKE: Final = 64


class MilvusCollection:
    """Over ``truth``, another store; ``close`` ends what it does, and leaves the truth open."""

    def __init__(self, truth: Store, milvus: Milvus, marks: Marks, prefix: str) -> None:
        self._truth = truth
        self._milvus = milvus
        self._mirror = Mirror(truth, milvus, marks, prefix)

    @property
    def settings(self) -> CollectionSettings:
        return self._truth.settings

    @property
    def uploads(self) -> Uploads:
        return self._truth.uploads

    @property
    def truth(self) -> Store:
        """The store that this one is over."""
        return self._truth

    @property
    def mirror(self) -> Mirror:
        """What brings its writes to Milvus."""
        return self._mirror

    async def describe(self, description: str) -> None:
        await self._truth.describe(description)

    async def upsert(
        self,
        documents: Sequence[Document],
        receipts: Sequence[Receipt] = (),
        stamps: Mapping[str, Stamps] | None = None,
        once: Once | None = None,
    ) -> None:
        with self._watching():
            await self._truth.upsert(documents, receipts, stamps, once)
        await self._mirror.written(document.id for document in documents)

    async def settle(self, receipts: Sequence[Receipt]) -> None:
        await self._truth.settle(receipts)

    async def patch(
        self,
        document_id: str,
        patch: DocumentPatch,
        versions: Container[int] | None = None,
        once: Once | None = None,
    ) -> StoredDocument | None:
        with self._watching():
            patched = await self._truth.patch(document_id, patch, versions, once)
        await self._mirror.written([document_id])
        return patched

    async def delete(
        self, ids: Sequence[str], versions: Container[int] | None = None, once: Once | None = None
    ) -> int:
        with self._watching():
            deleted = await self._truth.delete(ids, versions, once)
        await self._mirror.written()
        return deleted

    async def delete_matching(self, condition: Filter, once: Once | None = None) -> int:
        with self._watching():
            deleted = await self._truth.delete_matching(condition, once)
        await self._mirror.written()
        return deleted

    async def remembered(self, once: Once) -> Any:
        return await self._truth.remembered(once)

    async def search(self, query: Query) -> SearchResult:
        request = checked(query, self.settings)
        if (sources := self._sources(request)) is not None:
            try:
                if (found := await search(request, sources)) is not None:
                    return found
            except VectorsUnavailable:
                self._mirror.failed()
        return await self._truth.search(query)

    async def search_many(self, queries: Sequence[Query]) -> list[SearchResult]:
        requests = [checked(query, self.settings) for query in queries]
        parts = await together(map(self._answer_alike, alike(requests, lambda _: _MOST_ALIKE)))
        answers = {place: result for part in parts for place, result in part}
        return [answers[place] for place in range(len(queries))]

    async def _answer_alike(self, group: Sequence[tuple[int, Request]]) -> list[tuple[int, SearchResult]]:
        requests = [request for _, request in group]
        found: Sequence[SearchResult | None] = [None] * len(group)
        if len(group) > 1 and (sources := self._sources(requests[0])) is not None:
            try:
                found = await search_alike(requests, sources)
            except VectorsUnavailable:
                self._mirror.failed()
        return [
            (place, result or await self.search(request.query))
            for (place, request), result in zip(group, found, strict=True)
        ]

    def _sources(self, request: Request) -> Sources | None:
        """Where Milvus can be asked; None if the truth has to be."""
        place = self._mirror.place
        if place is None or request.vector is None or request.query.exact:
            return None
        return Sources(self._milvus, place, self._truth)

    async def idf(self, words: Sequence[str]) -> dict[str, float]:
        return await self._truth.idf(words)

    async def document(self, document_id: str, *, with_text: bool = False) -> StoredDocument | None:
        return await self._truth.document(document_id, with_text=with_text)

    async def documents(self, limit: int, after: str | None = None) -> list[StoredDocument]:
        return await self._truth.documents(limit, after)

    async def copies(self, after: str | None = None) -> list[DocumentCopy]:
        return await self._truth.copies(after)

    async def changes(self, after: int, limit: int) -> Changes:
        return await self._truth.changes(after, limit)

    async def stamps(self, ids: Sequence[str]) -> dict[str, Stamps]:
        return await self._truth.stamps(ids)

    async def revisions(self, ids: Sequence[str]) -> dict[str, Revision]:
        return await self._truth.revisions(ids)

    async def vectors_by_digest(self, digests: Sequence[str]) -> dict[str, PassageVectors]:
        return await self._truth.vectors_by_digest(digests)

    async def points(
        self, ids: Sequence[str], *, with_vectors: bool = False, with_token_vectors: bool = False
    ) -> list[StoredPoint]:
        return await self._truth.points(ids, with_vectors=with_vectors, with_token_vectors=with_token_vectors)

    async def scroll(
        self,
        limit: int,
        after: str | None = None,
        condition: Filter | None = None,
        *,
        with_vectors: bool = False,
    ) -> tuple[list[StoredPoint], str | None]:
        return await self._truth.scroll(limit, after, condition, with_vectors=with_vectors)

    async def sample(self, limit: int) -> list[StoredPoint]:
        return await self._truth.sample(limit)

    async def count(self, condition: Filter | None = None) -> int:
        return await self._truth.count(condition)

    async def facets(self, key: str, limit: int, condition: Filter | None = None) -> Facets:
        return await self._truth.facets(key, limit, condition)

    async def statistics(self) -> CollectionStatistics:
        return await self._truth.statistics()

    async def add_job(
        self,
        job_id: str,
        payloads: Sequence[bytes],
        once: Once | None = None,
        sizes: Sequence[int] | None = None,
    ) -> str:
        return await self._truth.add_job(job_id, payloads, once, sizes)

    async def pending_items(self, job_id: str, limit: int) -> list[JobItem]:
        return await self._truth.pending_items(job_id, limit)

    async def job(self, job_id: str) -> JobState | None:
        return await self._truth.job(job_id)

    async def jobs(self, limit: int) -> list[JobState]:
        return await self._truth.jobs(limit)

    async def cancel_job(self, job_id: str) -> None:
        await self._truth.cancel_job(job_id)

    async def job_results(self, job_id: str) -> list[Mapping[str, Any] | None]:
        return await self._truth.job_results(job_id)

    async def unfinished_jobs(self) -> list[str]:
        return await self._truth.unfinished_jobs()

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """Around a write, which may be committed although its caller left, or nobody knows of it."""
        try:
            yield
        except (asyncio.CancelledError, OutcomeUnknown):
            self._mirror.perhaps_written()
            raise

    async def close(self) -> None:
        """Let go of Milvus."""
        await self._mirror.close()
