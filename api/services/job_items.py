"""The documents of a job while they wait: rows of its collection's database, and files beside it."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from api.services.incoming import Incoming, Outcome
from index import files
from index.rows import JobItem, Receipt
from index.store import Store

_FAILED = "the service failed to ingest this document; its log has the reason under the job's id"


class _Item(msgspec.Struct):
    """A waiting document as it lies in the database; ``upload`` is a name in the collection's uploads."""

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


def decode_item(store: Store, item: JobItem, job_id: str) -> Incoming:
    """The document that waits as ``item``, with its slot in the job."""
    stored = msgspec.msgpack.decode(item.payload, type=_Item)
    return Incoming(
        id=stored.id,
        text=stored.text,
        data=stored.data,
        upload=store.uploads / stored.upload if stored.upload else None,
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


def keep_uploads(folder: Path, job_id: str, documents: Sequence[Incoming]) -> list[Incoming]:
    """Move uploads beside the collection, on disk for good before the job that names them is."""
    kept = [
        _keep_upload(document, folder / f"{job_id}-{position}") for position, document in enumerate(documents)
    ]
    files.sync(folder)
    return kept


def _keep_upload(document: Incoming, place: Path) -> Incoming:
    if document.upload is None:
        return document
    files.sync(document.upload)
    document.upload.rename(place)
    return replace(document, upload=place)


def drop_uploads_of(folder: Path, job_id: str) -> None:
    """Delete the files that waited for a job."""
    for upload in folder.glob(f"{job_id}-*"):
        upload.unlink(missing_ok=True)


def drop_uploads(folder: Path, *, keep: Collection[str]) -> None:
    """Delete the files that wait for no job of ``keep``."""
    for upload in folder.iterdir():
        if upload.name.rpartition("-")[0] not in keep:
            upload.unlink()
