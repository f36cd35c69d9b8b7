"""The seam between the service and whatever keeps its vectors.

``Store`` is all that the service sees of a collection; ``index.collection.Collection`` is the embedded one.
Every method may be called from any number of tasks at once. A write that returns is committed and on disk;
a write whose caller is cancelled is either fully there or not at all. What a write changed is visible to
the next search.
"""

from collections.abc import Collection, Container, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

from index.filters import Filter
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


class Store(Protocol):
    """One collection.

    A write that is given ``once`` is carried out once: sent again within a day it gives the same and changes
    nothing, also after a crash; it raises KeyReused if another one came with its key.

    Every method may raise StorageFull, StorageFailed and, once it is dropped, CollectionNotFound.
    """

    @property
    def settings(self) -> CollectionSettings: ...

    @property
    def uploads(self) -> "Uploads":
        """The files that wait for its jobs; they go with the collection."""
        ...

    async def describe(self, description: str) -> None:
        """Change the description, the one setting that may change.

        Raises:
            InvalidSettings: it is not valid Unicode.
        """
        ...

    async def upsert(
        self,
        documents: Sequence[Document],
        receipts: Sequence[Receipt] = (),
        stamps: Mapping[str, Stamps] | None = None,
        once: Once | None = None,
    ) -> None:
        """Write all the documents and receipts, or none; of one id given twice the last counts.

        Documents that have ``stamps`` keep those instead of the next version and the time of this write.

        Raises:
            VersionConflict: a document is not at its ``if_version``.
            InvalidId: an id is empty, over 512 bytes, has control characters, or is taken by a passage.
            InvalidDocument: metadata that is no JSON, text that is no Unicode, a point of two passages.
            InvalidVector: a vector of the wrong length, not finite, or zero under cosine.
            WriteQueueFull: nothing was written.
        """
        ...

    async def settle(self, receipts: Sequence[Receipt]) -> None:
        """Mark job items without writing documents; unknown or settled items stay as they are."""
        ...

    async def patch(
        self,
        document_id: str,
        patch: DocumentPatch,
        versions: Container[int] | None = None,
        once: Once | None = None,
    ) -> StoredDocument | None:
        """Change a document in place; gives it as it is then, or None if there is none of that id.

        Raises:
            VersionConflict: it has none of ``versions``, if these are given.
            InvalidDocument: what would come of it cannot be stored.
        """
        ...

    async def delete(
        self, ids: Sequence[str], versions: Container[int] | None = None, once: Once | None = None
    ) -> int:
        """Delete documents (and so points that clients wrote) by id; gives how many were there.

        Raises:
            VersionConflict: one of them has none of ``versions``, if these are given; nothing was deleted.
        """
        ...

    async def delete_matching(self, condition: Filter, once: Once | None = None) -> int:
        """Delete every document that matches; gives how many."""
        ...

    async def remembered(self, once: Once) -> Any:
        """What the write gave that came ``once``; None if it did not come.

        Raises:
            KeyReused: another one came with this key.
            InvalidId: the key is not valid Unicode.
        """
        ...

    async def search(self, query: Query) -> SearchResult:
        """The best ``min(k, matches)`` points, best first.

        Raises:
            InvalidVector: the query's vector is not one of this collection.
            InvalidQuery: k is below 1, or the mode has nothing to search by.
        """
        ...

    async def search_many(self, queries: Sequence[Query]) -> list[SearchResult]:
        """What ``search`` says to each, in their order; cheaper than one by one.

        Raises:
            InvalidVector, InvalidQuery: as ``search`` does, for any of them.
        """
        ...

    async def idf(self, words: Sequence[str]) -> dict[str, float]:
        """How rare each of ``words`` is, in whatever form, among the titles and texts of the newest 20,000
        points or so; above 0. Only the first 32 distinct ones are looked up; the others are left out.
        """
        ...

    async def document(self, document_id: str, *, with_text: bool = False) -> StoredDocument | None:
        """The document of that id, or None."""
        ...

    async def documents(self, limit: int, after: str | None = None) -> list[StoredDocument]:
        """Up to ``limit`` documents ordered by id (code points), starting behind the id ``after``; without
        texts.
        """
        ...

    async def copies(self, after: str | None = None) -> list[DocumentCopy]:
        """Some documents, whole, ordered by id (code points), starting behind the id ``after``; none at the
        end. Each is in one committed state; one that stays throughout is met exactly once.
        """
        ...

    async def changes(self, after: int, limit: int) -> Changes:
        """What happened behind the moment ``after``, in the order of each document's last change: up to
        ``limit`` documents, fewer where they are large, none at the end. With a ``limit`` of 0 it says
        nothing but the last moment: whoever begins goes on from there after having taken all ``copies``.

        Deletions are remembered for a week at least.

        Raises:
            HistoryLost: ``after`` lies before what is remembered, or behind the last moment; whoever follows
                has to begin again.
        """
        ...

    async def stamps(self, ids: Sequence[str]) -> dict[str, Stamps]:
        """The stamps of each of these documents that exists."""
        ...

    async def revisions(self, ids: Sequence[str]) -> dict[str, Revision]:
        """The version and the content hash of each of these documents that exists."""
        ...

    async def vectors_by_digest(self, digests: Sequence[str]) -> dict[str, PassageVectors]:
        """The vectors of each of these digests that a passage has."""
        ...

    async def points(
        self, ids: Sequence[str], *, with_vectors: bool = False, with_token_vectors: bool = False
    ) -> list[StoredPoint]:
        """Points in the order asked; those that do not exist are left out."""
        ...

    async def scroll(
        self,
        limit: int,
        after: str | None = None,
        condition: Filter | None = None,
        *,
        with_vectors: bool = False,
    ) -> tuple[list[StoredPoint], str | None]:
        """Points in the order they were written, and the cursor that ``after`` takes for the rest (None at
        the end). Writes on the way move nothing: a point that stays is met once, one that is replaced or
        new is met at the end.

        Raises:
            InvalidCursor: this collection did not give ``after``.
        """
        ...

    async def sample(self, limit: int) -> list[StoredPoint]:
        """Up to ``limit`` points with their vectors, spread evenly over all in the order they were written;
        the same ones as long as nothing is written.
        """
        ...

    async def count(self, condition: Filter | None = None) -> int:
        """How many points there are, or match."""
        ...

    async def facets(self, key: str, limit: int, condition: Filter | None = None) -> Facets:
        """The ``limit`` commonest values of a metadata key among the points that match."""
        ...

    async def statistics(self) -> CollectionStatistics: ...

    async def add_job(
        self,
        job_id: str,
        payloads: Sequence[bytes],
        once: Once | None = None,
        sizes: Sequence[int] | None = None,
    ) -> str:
        """Keep a job's items; from then on a restart finds them. Gives its id, or that of the job that was
        kept ``once``. ``sizes`` are how many bytes each item stands for; unless given, those of its payload.

        Jobs that ended long ago are forgotten: after a week, or after a day if a thousand came later.

        Raises:
            InvalidId: a job of that id exists.
        """
        ...

    async def pending_items(self, job_id: str, limit: int) -> list[JobItem]:
        """The first ``limit`` items that are not settled, by position."""
        ...

    async def job(self, job_id: str) -> JobState | None:
        """Where it stands; what one that has ended wrote is found by whoever searches then."""
        ...

    async def jobs(self, limit: int) -> list[JobState]:
        """The ``limit`` newest jobs, newest first."""
        ...

    async def cancel_job(self, job_id: str) -> None:
        """End a job: what is settled stays, what waits is dropped. One that has ended stays as it is."""
        ...

    async def job_results(self, job_id: str) -> list[Mapping[str, Any] | None]:
        """The result of every item by position; None where it is still to come. Those that a cancelled job
        dropped are left out.
        """
        ...

    async def unfinished_jobs(self) -> list[str]:
        """Ids of jobs with unsettled items, oldest first."""
        ...


class Uploads(Protocol):
    """Files that wait for jobs, each at the position of its item; whoever works on the job can read them.

    Every method may raise StorageFull, StorageFailed and CollectionNotFound.
    """

    async def keep(self, job_id: str, uploads: Mapping[int, Path]) -> None:
        """Take files over, before the job is kept; they may be gone from where they were."""
        ...

    def fetched(
        self, job_id: str, positions: Sequence[int]
    ) -> AbstractAsyncContextManager[Mapping[int, Path]]:
        """The files of the first of these positions, to be read within the block: all of them, or as many
        as may be brought here at once, at least one. A file that is lost is at a path where nothing is.
        """
        ...

    async def drop(self, job_id: str) -> None:
        """Forget the files of a job."""
        ...

    async def sweep(self, waiting: Collection[str]) -> None:
        """Forget the files of jobs that are not ``waiting``, if nobody is about to keep such a job."""
        ...
