"""Writes that are carried out once, however often they are sent.

What a write gave is kept under the key that it came with, in the same transaction: after a crash either both
are there or neither, and the same write sent again gives the same and changes nothing. A write that failed
leaves its key free. Keys are kept for a day; each new one takes old ones along, and so does time.
"""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from index.codec import check_unicode, decode_json, encode_json, timestamp
from index.errors import KeyReused
from index.readers import Readers
from index.rows import Once
from index.writer import Change, Write

T = TypeVar("T")

KEPT: Final = timedelta(hours=24)
_FIND: Final = "SELECT fingerprint, answer FROM idempotency WHERE key = ? AND created_at > ?"
_KEEP: Final = "INSERT OR REPLACE INTO idempotency (key, fingerprint, answer, created_at) VALUES (?, ?, ?, ?)"
_FORGET: Final = (
    "DELETE FROM idempotency WHERE key IN"
    " (SELECT key FROM idempotency WHERE created_at <= ? ORDER BY created_at LIMIT ?)"
)
FORGOTTEN_AT_ONCE: Final = 100


def carried_out_once(
    once: Once | None,
    write: Write[T],
    encode: Callable[[T], str | None] = encode_json,
    decode: Callable[[str], T] = decode_json,
) -> Write[T]:
    """``write``, or what it gave when it came before. What ``encode`` makes None of is not kept.

    The write it gives raises what ``write`` does, and KeyReused: another one came with this key.

    Raises:
        InvalidId: the key is not valid Unicode.
    """
    if once is None:
        return write
    check_unicode(once.key)

    def carry_out(connection: sqlite3.Connection) -> Change[T]:
        row = connection.execute(_FIND, (once.key, _oldest())).fetchone()
        if row is not None:
            return Change(decode(answer_to(once, *row)))
        change = write(connection)
        answer = encode(change.result)
        if answer is None:
            return change
        forget(connection)
        connection.execute(_KEEP, (once.key, once.fingerprint, answer, timestamp()))
        return change

    return carry_out


def forget(connection: sqlite3.Connection) -> Change[int]:
    """Remove some of the keys that do not count any more; gives how many."""
    return Change(connection.execute(_FORGET, (_oldest(), FORGOTTEN_AT_ONCE)).rowcount)


async def remembered(readers: Readers, once: Once) -> Any:
    """What the write gave when it came before; None if it did not.

    Raises:
        KeyReused: another one came with this key.
        InvalidId: the key is not valid Unicode.
    """
    check_unicode(once.key)
    rows = await readers.rows(_FIND, (once.key, _oldest()))
    return decode_json(answer_to(once, *rows[0])) if rows else None


def answer_to(once: Once, fingerprint: bytes, answer: str) -> str:
    """The ``answer`` that is kept under this key.

    Raises:
        KeyReused: a write with another ``fingerprint`` came with it.
    """
    if fingerprint != once.fingerprint:
        raise KeyReused(once.key)
    return answer


def _oldest() -> str:
    """Keys from before this moment do not count."""
    return timestamp(datetime.now(UTC) - KEPT)
