"""A collection's history: what happened to its documents behind a moment, so that others can follow it.

Every write of a document, every patch and every deletion is a moment: the next number of one counter, taken
in the transaction of the write itself. Of a document that is there only the last one counts and stands in its
row, so that of living documents the whole history is kept for nothing. Deletions are kept apart and
forgotten after ``REMEMBERED``: whoever stayed away for longer has to begin again.

The functions that take a connection run inside a transaction of the writer.
"""

# ruff: noqa: S608 - statements are put together from constants of this package; values are bound.

import asyncio
import hashlib
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from index.codec import timestamp
from index.errors import HistoryLost
from index.insertion import insert_rows
from index.living import LIVING
from index.readers import Readers
from index.rows import Changes, DocumentCopy
from index.transfer import CHARACTERS, COLUMNS, PAGE_PASSAGES, copy_of_rows
from index.writer import Change

REMEMBERED: Final = timedelta(days=7)
FORGOTTEN_AT_ONCE: Final = 500

# One statement, so one committed state of the counter, the documents and the deletions. A document that was
# deleted and is there again is among those that are there.
_PAGE: Final = f"""
    WITH changed AS (
        SELECT * FROM (
            SELECT change, key, id, passages + characters / {CHARACTERS} AS weight
            FROM documents WHERE change > ?1 ORDER BY change LIMIT ?2
        ) UNION ALL SELECT * FROM (
            SELECT change, NULL, id, 0 FROM deletions AS gone
            WHERE change > ?1 AND NOT EXISTS (SELECT 1 FROM documents WHERE id = gone.id)
            ORDER BY change LIMIT ?2
        )
    ), page AS (
        SELECT change, key, id, sum(weight) OVER (ORDER BY change) - weight AS before
        FROM changed ORDER BY change LIMIT ?2
    )
    SELECT h.last, h.forgotten, (SELECT secret FROM identity), page.change, page.id, {COLUMNS}
    FROM history AS h LEFT JOIN page ON page.before < ?3
        LEFT JOIN documents AS d ON d.key = page.key AND {LIVING}
        LEFT JOIN passages AS p ON p.document = d.key
    ORDER BY page.change, p.seq"""
_CHANGE: Final = 3
_ID: Final = 4
_DOCUMENT: Final = 5


def next_moments(connection: sqlite3.Connection, count: int) -> range:
    """The next ``count`` moments, which nothing else gets."""
    sql = "UPDATE history SET last = last + ? RETURNING last"
    last: int = connection.execute(sql, (count,)).fetchone()[0]
    return range(last - count + 1, last + 1)


def record_deletions(connection: sqlite3.Connection, ids: Sequence[str]) -> None:
    """The documents of these distinct ids are deleted by this transaction."""
    if ids:
        now = timestamp()
        rows = [
            (moment, id_, now) for moment, id_ in zip(next_moments(connection, len(ids)), ids, strict=True)
        ]
        # One that was deleted before replaces that: its ids are unique.
        insert_rows(connection, "deletions", rows)


def forget(connection: sqlite3.Connection) -> Change[int]:
    """Forget some of the deletions that are old; gives how many."""
    oldest = timestamp(datetime.now(UTC) - REMEMBERED)
    first = "SELECT change, deleted_at FROM deletions ORDER BY change LIMIT ?"
    behind = connection.execute(
        f"SELECT max(change) FROM ({first}) WHERE deleted_at <= ?", (FORGOTTEN_AT_ONCE, oldest)
    ).fetchone()[0]
    if behind is None:
        return Change(0)
    connection.execute("UPDATE history SET forgotten = ?", (behind,))
    return Change(connection.execute("DELETE FROM deletions WHERE change <= ?", (behind,)).rowcount)


def history_name(secret: bytes) -> str:
    """What tells the history of the collection with this secret from every other one."""
    return hashlib.sha256(secret).hexdigest()[:32]


async def read_page(readers: Readers, after: int, limit: int) -> Changes:
    """What ``Store.changes`` says."""
    rows = await readers.rows(_PAGE, (after, limit, PAGE_PASSAGES))
    last, forgotten, secret = rows[0][:_CHANGE]
    if limit and not forgotten <= after <= last:
        raise HistoryLost(after, forgotten, last)
    name = history_name(secret)
    changed = [row for row in rows if row[_CHANGE] is not None]
    if not changed:
        return Changes((), (), last, name)
    copies, deleted = await asyncio.to_thread(_apart, changed)
    return Changes(copies, deleted, changed[-1][_CHANGE], name)


def _apart(rows: Sequence[tuple[Any, ...]]) -> tuple[tuple[DocumentCopy, ...], tuple[str, ...]]:
    """The documents that are there, and the ids of the others, in the order of their moments."""
    found = [list(group) for _, group in groupby(rows, key=itemgetter(_CHANGE))]
    copies = [copy_of_rows([row[_DOCUMENT:] for row in of_one]) for of_one in found if of_one[0][_DOCUMENT]]
    deleted = [of_one[0][_ID] for of_one in found if of_one[0][_DOCUMENT] is None]
    return tuple(copies), tuple(deleted)
