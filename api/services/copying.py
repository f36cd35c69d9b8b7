"""A collection follows another one, page by page: what differs is embedded anew, what is gone goes.

A copy keeps version and times of its document, so equal stamps mean that nothing has to be done. Every step
may be taken again: a pass that was cut short is begun anew.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from api.errors import RequestError
from api.services.incoming import WINDOW_BYTES, WINDOW_DOCUMENTS, Outcome
from api.services.parse import Parsed
from api.services.prepare import Prepared, embed_documents, prepare
from embedd.embedder import Embedder
from embedd.errors import EmbeddError
from index.errors import InvalidDocument, InvalidId, InvalidVector, StoreError, VersionConflict
from index.rows import Document, Stamps, StoredDocument
from index.store import Store
from index.together import together

log = structlog.get_logger()

PAGE = 256
"""Documents compared at once; few enough that other collections soon have their turn."""

COPIES_AT_ONCE = 128

_NO_TEXT = "it was written without a text to embed, or with a vector of its own: write it with a new vector"
_UNFORESEEN = "the service failed to embed this document again; its log has the reason"


@dataclass(frozen=True, slots=True)
class Step:
    """Where a pass goes on, None if that part of it is done; how many documents it saw and changed."""

    after: str | None
    seen: int
    changed: int


@dataclass(frozen=True, slots=True)
class Copier:
    """From ``source`` to ``target``, whose model is ``embedder``.

    ``failures`` has the documents that failed, with the stamps that they had: they are not tried again
    until they change.

    Without ``since`` the target becomes what the source is. With it the target has writers of its own:
    ``since`` is when it was last equal to the source, and of two later writes to a document the last stays.
    """

    source: Store
    target: Store
    embedder: Embedder
    failures: dict[str, tuple[Stamps, Outcome]] = field(default_factory=dict)

    async def copy(self, after: str | None, since: str | None) -> Step:
        """Bring over the next documents that differ."""
        page = await self.source.documents(PAGE, after)
        copies = await self.target.stamps([document.id for document in page])
        stale = [one for one in page if self._is_stale(one, copies.get(one.id), since)]
        if len(stale) > COPIES_AT_ONCE:
            stale = stale[:COPIES_AT_ONCE]
            page = [document for document in page if document.id <= stale[-1].id]
        versions = {one.id: copies[one.id].version if one.id in copies else 0 for one in stale}
        await together(self._copy(window, versions if since else {}) for window in _windows(stale))
        return Step(page[-1].id if page else None, len(page), len(stale))

    async def drop(self, after: str | None, since: str | None) -> Step:
        """Delete the next documents that the source has no more."""
        page = await self.target.documents(PAGE, after)
        there = await self.source.revisions([document.id for document in page])
        gone = [one for one in page if one.id not in there and (since is None or one.updated_at < since)]
        for document in gone:
            with suppress(VersionConflict):  # written meanwhile: looked at again in the next pass
                await self.target.delete([document.id], {document.version})
        return Step(page[-1].id if page else None, 0, len(gone))

    def _is_stale(self, document: StoredDocument, copy: Stamps | None, since: str | None) -> bool:
        stamps = _stamps(document)
        failed = self.failures.get(document.id)
        if copy == stamps or (failed is not None and failed[0] == stamps):
            return False
        if since is None:
            return True
        return document.updated_at >= since and (copy is None or document.updated_at > copy.updated_at)

    async def _copy(self, ids: Sequence[str], versions: dict[str, int]) -> None:
        """Bring these over; those in ``versions`` only if the target has them at that version."""
        try:
            await self._embed(ids, versions)
        except (EmbeddError, RequestError, StoreError):
            raise
        except Exception as error:
            # A bug that one of these documents has found: the others are not to blame.
            if len(ids) > 1:
                for id_ in ids:
                    await self._copy([id_], versions)
                return
            log.exception("copy_failed", collection=self.source.settings.name, document=ids[0])
            if (document := await self.source.document(ids[0])) is not None:
                self._fail(_stamps(document), Outcome(ids[0], "failed", error=f"{_UNFORESEEN}: {error!r}"))

    async def _embed(self, ids: Sequence[str], versions: dict[str, int]) -> None:
        stamps: dict[str, Stamps] = {}
        prepared: list[Prepared] = []
        for id_ in ids:
            document = await self.source.document(id_, with_text=True)
            if document is None:  # deleted meanwhile
                continue
            stamps[id_] = _stamps(document)
            if document.text is None or document.is_point:
                self._fail(stamps[id_], Outcome(id_, "failed", error=_NO_TEXT))
            else:
                prepared.append(await self._prepare(document, document.text, versions.get(id_)))
        embedded = await embed_documents(self.embedder, prepared, self.target)
        for one in embedded:
            if isinstance(one, Outcome):
                self._fail(stamps[one.id], one)
        await self._commit([one for one in embedded if isinstance(one, Document)], stamps)

    async def _prepare(self, document: StoredDocument, text: str, if_version: int | None) -> Prepared:
        # No content hash: what is stored may not be what was sent, so sent again it is written again.
        bare = Document(
            id=document.id,
            title=document.title,
            text=text,
            metadata=document.metadata,
            passages=(),
            media_type=document.media_type,
            expires_at=document.expires_at,
            acl=document.acl,
            if_version=if_version,
        )
        parsed = Parsed(text, document.media_type, page_starts=await self._page_starts(document))
        return await prepare(self.embedder, bare, parsed, self.target.settings.chunk_tokens)

    async def _page_starts(self, document: StoredDocument) -> tuple[int, ...]:
        """Where each page begins, as far as the passages of the source know: at the first one on it."""
        ids = [f"{document.id}#{number}" for number in range(document.passages)]
        first = await self.source.points(ids[:1])
        if not first or first[0].page is None:
            return ()
        starts: list[int] = []
        for point in await self.source.points(ids):
            starts += [point.start] * ((point.page or 0) - len(starts))
        return tuple(starts)

    async def _commit(self, ready: Sequence[Document], stamps: dict[str, Stamps]) -> None:
        """Write them together; if one cannot be stored, each alone, and that one fails."""
        if not ready:
            return
        try:
            await self.target.upsert(ready, stamps={one.id: stamps[one.id] for one in ready})
        except (InvalidDocument, InvalidId, InvalidVector, VersionConflict) as refusal:
            if len(ready) > 1:
                for one in ready:
                    await self._commit([one], stamps)
            elif not isinstance(refusal, VersionConflict):  # else the target has a later write
                self._fail(stamps[ready[0].id], Outcome(ready[0].id, "failed", error=str(refusal)))
            return
        for one in ready:
            self.failures.pop(one.id, None)

    def _fail(self, stamps: Stamps, outcome: Outcome) -> None:
        self.failures[outcome.id] = (stamps, outcome)


def _stamps(document: StoredDocument) -> Stamps:
    return Stamps(document.version, document.created_at, document.updated_at)


def _windows(documents: Sequence[StoredDocument]) -> Iterator[list[str]]:
    """Ids of documents that are worked on together; one that is large alone fills its window."""
    window: list[str] = []
    size = 0
    for document in documents:
        window.append(document.id)
        size += document.characters
        if len(window) == WINDOW_DOCUMENTS or size >= WINDOW_BYTES:
            yield window
            window, size = [], 0
    if window:
        yield window
