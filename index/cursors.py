"""Cursors: where a scroll goes on, as text that only the collection that gave it takes back.

A cursor is a seq and its keyed digest (RFC 7693). The key is the collection's own secret, made together with
its file, so a cursor of another collection, of one that had the name before, or one that was changed on the
way is told from a good one without anything being kept.
"""

import base64
import hashlib
import hmac
from typing import Final

from index.errors import InvalidCursor
from index.readers import Readers

_SEQ_BYTES: Final = 8
# Together 18: a whole number of base64's groups of three, so that a cursor has no bits to spare.
_DIGEST_BYTES: Final = 10


async def read_secret(readers: Readers) -> bytes:
    """What the collection signs its cursors with."""
    secret: bytes = (await readers.rows("SELECT secret FROM identity"))[0][0]
    return secret


def sign(seq: int, secret: bytes) -> str:
    """The cursor behind the row ``seq``."""
    raw = seq.to_bytes(_SEQ_BYTES, "big")
    digest = hashlib.blake2b(raw, key=secret, digest_size=_DIGEST_BYTES).digest()
    return base64.urlsafe_b64encode(raw + digest).decode()


def verify(cursor: str, secret: bytes) -> int:
    """The seq that the cursor stands behind.

    Raises:
        InvalidCursor: this collection never gave it.
    """
    try:
        seq = int.from_bytes(base64.urlsafe_b64decode(cursor)[:_SEQ_BYTES], "big")
        is_ours = hmac.compare_digest(sign(seq, secret), cursor)
    except (ValueError, TypeError):  # no base64; not even ASCII
        is_ours = False
    if not is_ours:
        raise InvalidCursor
    return seq
