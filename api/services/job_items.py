"""The documents of a job while they wait: items of its collection, and files among its uploads."""

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from api.services.incoming import Incoming, Outcome
from index.rows import JobItem, Receipt
from index.store import Store

_FAILED = "the service failed to ingest this document; its log has the reason under the job's id"


class _Item(msgspec.Struct):
    """A waiting document as it lies in the database; with ``upload`` its file is among those of the job."""

    id: str
    text: str | None
    data: bytes | None
    upload: str | None
    media_type: str | None
    filename: str | None
    title: str | None
    metadata: dict[str, Any]
    password: str | None
    expires_at: str | None = None
    acl: tuple[str, ...] = ()
    if_version: int | None = None


def encode_item(document: Incoming) -> bytes:
    """What is kept of a document that waits."""
    return msgspec.msgpack.encode(
        _Item(
            id=document.id,
            text=document.text,
            data=document.data,
            upload=document.upload.name if document.upload else None,
            media_type=document.media_type,
            filename=document.filename,
            title=document.title,
            metadata=dict(document.metadata),
            password=document.password,
            expires_at=document.expires_at,
            acl=document.acl,
            if_version=document.if_version,
        )
    )


def _incoming(stored: _Item, upload: Path | None, job_id: str, item: JobItem) -> Incoming:
    return Incoming(
        id=stored.id,
        text=stored.text,
        data=stored.data,
        upload=upload,
        media_type=stored.media_type,
        filename=stored.filename,
        title=stored.title,
        metadata=stored.metadata,
        password=stored.password,
        expires_at=stored.expires_at,
        acl=stored.acl,
        if_version=stored.if_version,
        slot=(job_id, item.position),
    )


def failure_of(item: JobItem, job_id: str) -> Receipt:
    """The receipt of an item that nothing could be made of."""
    id_ = msgspec.msgpack.decode(item.payload, type=_Item).id
    outcome = Outcome(id_, "failed", error=_FAILED)
    return Receipt(job_id, item.position, msgspec.to_builtins(outcome), failed=True)


@asynccontextmanager
async def fetched_items(
    store: Store, job_id: str, items: Sequence[JobItem]
) -> AsyncIterator[list[tuple[JobItem, Incoming]]]:
    """The first of these items, and the documents that they are; their files can be read within the block."""
    stored = [msgspec.msgpack.decode(item.payload, type=_Item) for item in items]
    positions = [item.position for item, one in zip(items, stored, strict=True) if one.upload]
    if not positions:
        yield [(item, _incoming(one, None, job_id, item)) for item, one in zip(items, stored, strict=True)]
        return
    async with store.uploads.fetched(job_id, positions) as paths:
        here = itertools.takewhile(
            lambda pair: not pair[1].upload or pair[0].position in paths, zip(items, stored, strict=True)
        )
        yield [(item, _incoming(one, paths.get(item.position), job_id, item)) for item, one in here]
