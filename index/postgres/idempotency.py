"""Writes that are carried out once, however often they are sent and to whichever service, as
``index.idempotency`` describes them.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from index.codec import check_unicode, decode_json, encode_json
from index.idempotency import FORGOTTEN_AT_ONCE, KEPT, answer_to
from index.postgres.database import Reader
from index.postgres.tables import Tables
from index.postgres.text import encode_text
from index.postgres.writer import Turn, Write
from index.rows import Once

T = TypeVar("T")

_FIND: Final = (
    "SELECT fingerprint, answer FROM idempotency"
    " WHERE collection = $1 AND key = $2 AND created_at > clock_timestamp() - $3::interval"
)
_KEEP: Final = (
    "INSERT INTO idempotency (collection, key, fingerprint, answer, created_at) VALUES ($1, $2, $3, $4, $5)"
    " ON CONFLICT (collection, key) DO UPDATE SET (fingerprint, answer, created_at)"
    " = (excluded.fingerprint, excluded.answer, excluded.created_at)"
)
_FORGET: Final = (
    "DELETE FROM idempotency WHERE collection = $1 AND key = ANY(ARRAY(SELECT key FROM idempotency"
    " WHERE collection = $1 AND created_at <= $2 ORDER BY created_at LIMIT $3)) RETURNING key"
)


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

    async def carry_out(turn: Turn) -> T:
        key = encode_text(once.key)
        row = await turn.connection.fetchrow(_FIND, turn.tables.key, key, KEPT)
        if row is not None:
            return decode(answer_to(once, *row))
        result = await write(turn)
        if (answer := encode(result)) is not None:
            await forget(turn)
            await turn.connection.execute(_KEEP, turn.tables.key, key, once.fingerprint, answer, turn.now)
        return result

    return carry_out


async def forget(turn: Turn) -> int:
    """Remove some of the keys that do not count any more; gives how many."""
    return len(await turn.connection.fetch(_FORGET, turn.tables.key, turn.now - KEPT, FORGOTTEN_AT_ONCE))


async def remembered(reader: Reader, tables: Tables, once: Once) -> Any:
    """What the write gave when it came before; None if it did not.

    Raises:
        KeyReused: another one came with this key.
        InvalidId: the key is not valid Unicode.
    """
    check_unicode(once.key)
    row = await reader.row(_FIND, tables.key, encode_text(once.key), KEPT)
    return None if row is None else decode_json(answer_to(once, *row))
