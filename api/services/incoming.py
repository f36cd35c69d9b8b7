"""A document as it arrives and what becomes of it; knows neither models nor storage."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

WINDOW_DOCUMENTS = 32
WINDOW_BYTES = 8 * 2**20
"""Documents parsed, embedded and written together: enough to fill batches, few enough for memory. A window
ends with the document that reaches either.
"""

_LAYOUT = b"2"
"""Changes with the readers and the chunking: documents read or cut in another way count as changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A document as it arrives: ``text``, or the ``data`` of a file, or an ``upload``ed one."""

    id: str
    text: str | None = None
    data: bytes | None = None
    upload: Path | None = None
    media_type: str | None = None
    filename: str | None = None
    title: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    password: str | None = None
    expires_at: str | None = None
    acl: tuple[str, ...] = ()
    if_version: int | None = None
    """The version that the stored document must have, 0 for none."""
    slot: tuple[str, int] | None = None
    """The job and the position in it whose receipt is committed with the document."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one document."""

    id: str
    status: Literal["ready", "unchanged", "failed", "new", "changed"]
    passages: int = 0
    tokens: int = 0
    error: str | None = None
    code: str | None = None


def windows(documents: Iterable[Incoming]) -> Iterator[list[Incoming]]:
    """The documents in groups that are worked on together; one that is large alone fills its group."""
    window: list[Incoming] = []
    size = 0
    for document in documents:
        window.append(document)
        size += size_of(document)
        if len(window) == WINDOW_DOCUMENTS or size >= WINDOW_BYTES:
            yield window
            window, size = [], 0
    if window:
        yield window


def size_of(document: Incoming) -> int:
    """Bytes, or characters of a text; an upload that is gone has none, and fails when it is read."""
    if document.upload is None:
        return len(document.data or document.text or "")
    try:
        return document.upload.stat().st_size
    except OSError:
        return 0


def fingerprint(document: Incoming, model_sha256: str) -> bytes:
    """Fingerprint of everything that decides what is stored for ``document``.

    Raises:
        OSError: its upload is gone or cannot be read.
    """
    digest = hashlib.blake2b(_LAYOUT + model_sha256.encode(), digest_size=20)
    described: list[object] = [document.media_type, document.filename, document.title, document.metadata]
    if document.expires_at is not None or document.acl:
        described += [document.expires_at, document.acl]
    digest.update(msgspec.json.encode(described, order="deterministic"))
    if document.upload is not None:
        with document.upload.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    else:
        digest.update(document.data or (document.text or "").encode())
    return digest.digest()
