"""What tells two states of a document apart: a number of all that belongs to it, bit for bit.

The sum of a collection's numbers says the same of all its documents, in whatever order they are added.
"""

import hashlib
import struct
from collections.abc import Sequence
from typing import Final

from index.codec import encode_json
from index.rows import DocumentCopy

MODULUS: Final = 2**256
_LENGTH: Final = struct.Struct("<Q")


def digest_of(copy: DocumentCopy) -> int:
    """From 0 to ``MODULUS``, equal for equal documents alone: text, metadata, passages, every bit of their
    vectors and token vectors, tags, expiry, version and times.
    """
    document, stamps = copy.document, copy.stamps
    head = [
        *(document.id, document.title, document.text, document.metadata, document.content_hash.hex()),
        *(document.media_type, document.is_point, document.expires_at, document.acl),
        *((stamps.version, stamps.created_at, stamps.updated_at) if stamps else ()),
        [[p.text, p.start, p.end, p.page, p.heading, p.tokens, p.digest] for p in document.passages],
    ]
    digest = hashlib.sha256()
    parts = [encode_json(head).encode()]
    for passage in document.passages:
        parts += (passage.vector.astype("<f4", copy=False).tobytes(), passage.token_vectors or b"")
    for part in parts:
        digest.update(_LENGTH.pack(len(part)))
        digest.update(part)
    return int.from_bytes(digest.digest(), "little")


def digests_of(copies: Sequence[DocumentCopy]) -> list[int]:
    """Those of many."""
    return list(map(digest_of, copies))
