"""Documents in, searchable passages out: parse -> chunk -> embed (bulk lane) -> one transaction.

A document fails alone, with its reason; the others of the request are kept. A document whose content, title
and metadata are what is stored already costs no embedding. Each window of documents is written at once, and
what was answered is committed. Ids that come twice in one request are one document: the last one given.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from api.errors import InvalidRequest, refuse
from api.services.incoming import Incoming, Outcome, fingerprint, windows
from api.services.models import Models
from api.services.parse import Parsed, ParseFailed, Parser
from api.services.prepare import Prepared, embed_documents, prepare
from embedd.embedder import Embedder
from embedd.errors import Overloaded
from index.codec import check_document, encode_metadata
from index.errors import InvalidDocument, InvalidId, InvalidVector, StoreError, VersionConflict
from index.rows import Document, Receipt, Revision
from index.store import Store
from index.together import together

WINDOWS_AT_ONCE = 4
"""Windows in work over all requests: one is embedded while others are parsed, written and waiting."""

PARSED_AT_ONCE = 2
"""Windows that are parsed at once; with all of them the model would wait until all are parsed."""

LONGEST_TITLE = 1000
"""Characters of a title that a file brings; every passage is indexed under its document's title."""

MAX_WINDOWS = 512
"""Windows that may wait over all requests; a request that would exceed it is refused as a whole."""

_Slots = dict[str, list[tuple[str, int]]]
"""The job slots that wait for the outcome of each document id."""


class Ingestor:
    """Writes documents into collections."""

    def __init__(self, models: Models, parser: Parser) -> None:
        self._models = models
        self._parser = parser
        self._windows = asyncio.Semaphore(WINDOWS_AT_ONCE)
        self._parsing = asyncio.Semaphore(PARSED_AT_ONCE)
        self._open_windows = 0
        self._seconds_per_window = 1.0

    def check(self, store: Store, documents: Sequence[Incoming]) -> None:
        """Refuse what could never be written, before any work is done or promised.

        Raises:
            InvalidRequest: the collection has no embedding model.
            UnknownModel: this service does not run the collection's model.
            InvalidId, InvalidDocument: naming the document.
        """
        self._embedder(store)
        for document in documents:
            bare = _bare(document)
            check_document(bare)
            encode_metadata(bare)

    async def check_versions(self, store: Store, documents: Sequence[Incoming]) -> None:
        """Refuse all of them before any work is done for a document that is not at the version asked for.

        Raises:
            VersionConflict: naming the document.
        """
        conditional = [document for document in documents if document.if_version is not None]
        if conditional:
            known = await store.revisions([document.id for document in conditional])
            for document in conditional:
                if conflict := _conflict(document, known.get(document.id)):
                    raise conflict

    async def compare(self, store: Store, documents: Sequence[Incoming]) -> list[Outcome]:
        """What ingesting would do with each document, which nobody reads or writes for it.

        Raises:
            InvalidRequest, UnknownModel: as in ``check``.
        """
        sha256 = self._embedder(store).card.sha256
        known = await store.revisions([document.id for document in documents])
        return await asyncio.to_thread(
            lambda: [_compared(document, known.get(document.id), sha256) for document in documents]
        )

    async def ingest(
        self, store: Store, documents: Sequence[Incoming], told: Callable[[int], None] = lambda _: None
    ) -> list[Outcome]:
        """What became of each document, in the order given; everything that is not failed is committed.

        ``told`` hears how many passages more were embedded.

        Raises:
            InvalidRequest: the collection has no embedding model.
            Overloaded: too much waits already; nothing was started.
            EmbeddError: the model is away; documents of other windows may have been written.
            StoreError: the collection could not write.
        """
        embedder = self._embedder(store)
        distinct = {document.id: document for document in documents}
        slots = _slots(documents)
        groups = await asyncio.to_thread(lambda: list(windows(distinct.values())))
        self._admit(len(groups))
        try:
            written = await together(self._window(store, embedder, window, slots, told) for window in groups)
        finally:
            self._open_windows -= len(groups)
        outcomes = {outcome.id: outcome for window in written for outcome in window}
        return [outcomes[document.id] for document in documents]

    def _embedder(self, store: Store) -> Embedder:
        if store.settings.model is None:
            raise InvalidRequest(
                f"collection {store.settings.name!r} has no embedding model: write points with their vectors"
            )
        return self._models.embedder_of(store.settings)

    def _admit(self, count: int) -> None:
        waiting = self._open_windows
        if waiting and waiting + count > MAX_WINDOWS:
            raise Overloaded(
                f"{waiting} groups of documents wait to be ingested, limit {MAX_WINDOWS}",
                retry_after_s=waiting * self._seconds_per_window,
            )
        self._open_windows += count

    async def _window(
        self,
        store: Store,
        embedder: Embedder,
        window: Sequence[Incoming],
        slots: _Slots,
        told: Callable[[int], None],
    ) -> list[Outcome]:
        async with self._windows:
            began = time.monotonic()
            known = await store.revisions([document.id for document in window])
            async with self._parsing:
                results = [await self._prepare(store, embedder, one, known.get(one.id)) for one in window]
            prepared = [one for one in results if isinstance(one, Prepared)]
            embedded = await embed_documents(embedder, prepared, store, told)
            ready = [one for one in embedded if isinstance(one, Document)]
            settled = [one for one in (*results, *embedded) if isinstance(one, Outcome)]
            outcomes = await _commit(store, ready, slots) + await _settle(store, settled, slots)
            self._seconds_per_window = (time.monotonic() - began) / WINDOWS_AT_ONCE
            return outcomes

    async def _prepare(
        self, store: Store, embedder: Embedder, document: Incoming, known: Revision | None
    ) -> Prepared | Outcome:
        if conflict := _conflict(document, known):
            return _refused(document.id, conflict)
        try:
            content_hash = await asyncio.to_thread(fingerprint, document, embedder.card.sha256)
            if known is not None and content_hash == known.content_hash:
                return Outcome(document.id, "unchanged")
            parsed = await self._parse(document)
        except ParseFailed as failure:
            return Outcome(document.id, "failed", error=str(failure), code=failure.code)
        except OSError as error:  # its upload is gone
            return Outcome(document.id, "failed", error=f"cannot be read: {error.strerror}", code="broken")
        read = replace(
            _bare(document),
            title=document.title or (parsed.title or _stem(document.filename))[:LONGEST_TITLE],
            text=parsed.text,
            content_hash=content_hash,
            media_type=parsed.media_type,
        )
        return await prepare(embedder, read, parsed, store.settings.chunk_tokens)

    async def _parse(self, document: Incoming) -> Parsed:
        source = next(one for one in (document.text, document.upload, document.data) if one is not None)
        return await self._parser.parse(
            source,
            media_type=document.media_type,
            filename=document.filename,
            password=document.password,
        )


def _bare(document: Incoming) -> Document:
    """What the document says of itself, before it is read and cut."""
    return Document(
        id=document.id,
        title=document.title or "",
        text=document.text,
        metadata=document.metadata,
        passages=(),
        expires_at=document.expires_at,
        acl=document.acl,
        if_version=document.if_version,
    )


def _compared(document: Incoming, known: Revision | None, model_sha256: str) -> Outcome:
    if known is None:
        return Outcome(document.id, "new")
    is_same = fingerprint(document, model_sha256) == known.content_hash
    return Outcome(document.id, "unchanged" if is_same else "changed")


async def _commit(store: Store, ready: Sequence[Document], slots: _Slots) -> list[Outcome]:
    """Write the documents together; if one of them cannot be stored, each alone, and that one fails."""
    outcomes = [_ready(document) for document in ready]
    try:
        if ready:
            await store.upsert(ready, _receipts(outcomes, slots))
    except (InvalidDocument, InvalidId, InvalidVector, VersionConflict) as refusal:
        if len(ready) > 1:
            return [outcome for one in ready for outcome in await _commit(store, [one], slots)]
        return await _settle(store, [_refused(ready[0].id, refusal)], slots)
    return outcomes


def _conflict(document: Incoming, known: Revision | None) -> VersionConflict | None:
    found = known.version if known is not None else 0
    return VersionConflict(document.id, found) if document.if_version not in (None, found) else None


def _refused(id_: str, refusal: StoreError) -> Outcome:
    return Outcome(id_, "failed", error=str(refusal), code=refuse(refusal).code)


async def _settle(store: Store, outcomes: list[Outcome], slots: _Slots) -> list[Outcome]:
    receipts = _receipts(outcomes, slots)
    if receipts:
        await store.settle(receipts)
    return outcomes


def _ready(document: Document) -> Outcome:
    tokens = sum(passage.tokens for passage in document.passages)
    return Outcome(document.id, "ready", len(document.passages), tokens)


def _slots(documents: Sequence[Incoming]) -> _Slots:
    slots: _Slots = {}
    for document in documents:
        if document.slot is not None:
            slots.setdefault(document.id, []).append(document.slot)
    return slots


def _receipts(outcomes: Sequence[Outcome], slots: _Slots) -> list[Receipt]:
    return [
        Receipt(
            job_id,
            position,
            msgspec.to_builtins(outcome),
            failed=outcome.status == "failed",
            passages=outcome.passages,
        )
        for outcome in outcomes
        for job_id, position in slots.get(outcome.id, ())
    ]


def _stem(filename: str | None) -> str:
    return Path(filename).stem if filename else ""
