"""Cursors: where a scroll goes on, as text that only the collection that gave it takes back.

A cursor is a seq and its keyed digest (RFC 7693). The key is the collection's own secret, made together with
its file, so a cursor of another collection, of one that had the name before, or one that was changed on the
way is told from a good one without anything being kept.
"""

import base64
import hashlib
import hmac
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from index.database import FILE_NAME, translate
from index.errors import InvalidCursor
from index.readers import Readers

_SEQ_BYTES: Final = 8
# Together 18: a whole number of base64's groups of three, so that a cursor has no bits to spare.
_DIGEST_BYTES: Final = 10


async def read_secret(readers: Readers) -> bytes:
    """What the collection signs its cursors with."""
    secret: bytes = (await readers.rows("SELECT secret FROM identity"))[0][0]
    return secret


def forget_all(folder: Path) -> None:
    """Let no cursor hold any more in the collection that lies there, which nobody has open.

    For one that goes on from an earlier state: it gives seqs again that cursors may stand behind.

    Raises:
        StorageFailed, StorageFull: SQLite refused.
    """
    path = folder / FILE_NAME
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            # A file of an older format is given a secret when it is opened.
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'identity'").fetchone():
                connection.execute("UPDATE identity SET secret = randomblob(16)")
    except sqlite3.Error as error:
        raise translate(error, path) from error


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
