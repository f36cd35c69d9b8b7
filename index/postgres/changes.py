"""A collection's history, as ``index.history`` describes it: what happened behind a moment."""

# ruff: noqa: S608 - statements are put together from names of tables; values are bound.

from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from typing import Final

from index.errors import CollectionNotFound, HistoryLost
from index.history import FORGOTTEN_AT_ONCE, REMEMBERED, history_name
from index.postgres.database import Reader, Record
from index.postgres.tables import LIVING, Tables
from index.postgres.transfer import COLUMNS, copy_of_rows
from index.postgres.writer import Turn
from index.rows import Changes, DocumentCopy
from index.transfer import CHARACTERS, PAGE_PASSAGES

_CHANGE: Final = 3
_ID: Final = 4
_DOCUMENT: Final = 5
_FORGET: Final = (
    "DELETE FROM deletions WHERE collection = $1 AND change = ANY(ARRAY(SELECT change FROM deletions"
    " WHERE collection = $1 AND deleted_at <= $2 ORDER BY change LIMIT $3)) RETURNING change"
)


def _page(tables: Tables) -> str:
    """One statement, so one committed state of the counter, the documents and the deletions. A document that
    was deleted and is there again is among those that are there.
    """
    return f"""
        WITH changed AS (
            (SELECT change, key, id, passages + characters / {CHARACTERS} AS weight
                FROM {tables.documents} WHERE change > $2 ORDER BY change LIMIT $3)
            UNION ALL
            (SELECT change, NULL, id, 0 FROM deletions AS gone
                WHERE collection = $1 AND change > $2
                AND NOT EXISTS (SELECT 1 FROM {tables.documents} AS d WHERE d.id = gone.id)
                ORDER BY change LIMIT $3)
        ), page AS (
            SELECT change, key, id, sum(weight) OVER (ORDER BY change) - weight AS before
            FROM changed ORDER BY change LIMIT $3
        )
        SELECT c.change, c.forgotten, c.secret, page.change, page.id, {COLUMNS}
        FROM collections AS c LEFT JOIN page ON page.before < $4
            LEFT JOIN {tables.documents} AS d ON d.key = page.key AND {LIVING}
            LEFT JOIN {tables.passages} AS p ON p.document = d.key
        WHERE c.key = $1 ORDER BY page.change, p.seq"""


async def read_page(reader: Reader, tables: Tables, name: str, after: int, limit: int) -> Changes:
    """What ``Store.changes`` says of the collection ``name``."""
    rows = await reader.fetch(_page(tables), tables.key, after, limit, PAGE_PASSAGES)
    if not rows:
        raise CollectionNotFound(name)
    last, forgotten, secret = rows[0][:_CHANGE]
    if limit and not forgotten <= after <= last:
        raise HistoryLost(after, forgotten, last)
    changed = [row for row in rows if row[_CHANGE] is not None]
    if not changed:
        return Changes((), (), last, history_name(secret))
    copies, deleted = _apart(changed)
    return Changes(copies, deleted, changed[-1][_CHANGE], history_name(secret))


def _apart(rows: Sequence[Record]) -> tuple[tuple[DocumentCopy, ...], tuple[str, ...]]:
    """The documents that are there, and the ids of the others, in the order of their moments."""
    found = [list(group) for _, group in groupby(rows, key=itemgetter(_CHANGE))]
    copies = [copy_of_rows([row[_DOCUMENT:] for row in of_one]) for of_one in found if of_one[0][_DOCUMENT]]
    deleted = [of_one[0][_ID] for of_one in found if of_one[0][_DOCUMENT] is None]
    return tuple(copies), tuple(deleted)


async def forget(turn: Turn, remembered: timedelta = REMEMBERED) -> int:
    """Forget some of the deletions that are old; gives how many."""
    oldest = turn.now - remembered
    gone = await turn.connection.fetch(_FORGET, turn.tables.key, oldest, FORGOTTEN_AT_ONCE)
    if gone:
        await turn.connection.execute(
            "UPDATE collections SET forgotten = greatest(forgotten, $2) WHERE key = $1",
            turn.tables.key,
            max(row[0] for row in gone),
        )
    return len(gone)
