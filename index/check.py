"""Whether a data folder is whole: every collection's SQLite file, full text, vectors and stored graph.

For commands: it blocks, and has an event loop of its own. The folder must be nobody else's meanwhile.
``truth.db`` is never changed, but for its full-text index, which is made from it. What is not SQLite's is a
cache, so whatever is wrong with it is answered by removing it.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from index import files, mapped, snapshot
from index.codec import faulty_rows
from index.database import FILE_NAME, translate
from index.errors import StorageFailed
from index.graph import Graph
from index.living import EXPIRED_SEQS
from index.migrations import MIGRATIONS
from index.one_thread import OneThread
from index.restore import RESTORED, settle
from index.rows import Metric
from index.vectors import BLOCK_ROWS, Keys

Part = Literal["file", "references", "rows", "words", "vectors", "graph", "mapped", "leftovers"]
_MOST_MESSAGES: Final = 20

# How many rows break each; the tables and columns are those that every format has.
_RULES: Final = {
    "documents do not have as many passages as they say": """SELECT count(*) FROM documents AS d
        WHERE d.passages <> (SELECT count(*) FROM passages AS p WHERE p.document = d.key)""",
    "documents have metadata or an access list that is not JSON": """SELECT count(*) FROM documents
        WHERE NOT json_valid(metadata) OR NOT json_valid(acl)""",
    "passages have numbers that would be given again": """SELECT count(*) FROM passages
        WHERE seq > (SELECT seq FROM sqlite_sequence WHERE name = 'passages')""",
    "documents have numbers that would be given again": """SELECT count(*) FROM documents
        WHERE key > (SELECT seq FROM sqlite_sequence WHERE name = 'documents')""",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with a part of a collection (or, with the name "", of the folder)."""

    collection: str
    part: Part
    message: str
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was looked at, and what was found."""

    collections: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong any more."""
        return all(problem.repaired for problem in self.problems)


def check_folder(data: Path, *, repair: bool = False) -> CheckReport:
    """Look at everything in a data folder; with ``repair``, make anew or remove what is not the truth.

    Raises:
        DataFolderInUse: a service runs on it.
        StorageFailed: it is no data folder.
    """
    collections = data / files.COLLECTIONS
    if not collections.is_dir():
        raise StorageFailed(f"{data} is not a data folder: it has no folder {files.COLLECTIONS!r}")
    lock = files.lock(data)
    try:
        found = [*_leftovers(data, repair=repair), *_database_faults(data)]
        names = files.collection_names(data)
        for name in names:
            found += _Checked(collections / name, name, repair=repair).problems()
        return CheckReport(tuple(names), tuple(found))
    finally:
        os.close(lock)


def _leftovers(data: Path, *, repair: bool) -> Iterator[Problem]:
    if (data / RESTORED).exists():
        if repair:
            settle(data)
        yield Problem("", "leftovers", "a restore was cut short; the next start ends it", repaired=repair)
    for path in files.leftovers(data):
        if repair:
            files.remove(path)
        message = f"{path.relative_to(data)} is left of something that was cut short"
        yield Problem("", "leftovers", message, repaired=repair)


def _database_faults(data: Path) -> Iterator[Problem]:
    """Of the SQLite files beside the collections."""
    for path in (data / name for name in files.DATABASES):
        if not path.is_file():
            continue
        try:
            with closing(_open(path)) as connection:
                messages = list(_integrity_faults(connection))
        except sqlite3.Error as error:
            messages = [str(translate(error))]
        yield from (Problem("", "file", f"{path.name}: {message}") for message in messages)


class _Checked:
    """One collection under examination."""

    def __init__(self, folder: Path, name: str, *, repair: bool) -> None:
        self._folder = folder
        self._name = name
        self._repair = repair

    def problems(self) -> list[Problem]:
        try:
            with closing(_open(self._folder / FILE_NAME)) as connection:
                # With the file itself in doubt, nothing that is read from it or written to it can be trusted.
                broken = self._guarded("file", _file_faults, connection)
                return broken or [
                    *self._guarded("references", _reference_faults, connection),
                    *self._guarded("rows", _row_faults, connection),
                    *self._words(connection),
                    *self._guarded("vectors", _vector_faults, connection),
                    *self._graph(connection),
                    *self._mapped(connection),
                ]
        except sqlite3.Error as error:
            return [Problem(self._name, "file", str(translate(error)))]

    def _guarded(
        self,
        part: Part,
        faults: Callable[[sqlite3.Connection], Iterator[str]],
        connection: sqlite3.Connection,
    ) -> list[Problem]:
        messages = []
        try:
            messages += list(faults(connection))
        except sqlite3.Error as error:
            messages.append(str(translate(error)))
        return [Problem(self._name, part, message) for message in messages]

    def _words(self, connection: sqlite3.Connection) -> list[Problem]:
        problems = self._guarded("words", _word_faults, connection)
        if problems and self._repair:
            connection.execute("INSERT INTO words (words) VALUES ('rebuild')")
            return self._guarded("words", _word_faults, connection) or [_repaired(p) for p in problems]
        return problems

    def _graph(self, connection: sqlite3.Connection) -> list[Problem]:
        fault = asyncio.run(_graph_fault(self._folder, connection))
        if fault is None:
            return []
        problem = Problem(self._name, "graph", f"the stored graph cannot be used: {fault}")
        if not self._repair:
            return [problem]
        snapshot.discard(self._folder)
        return [_repaired(problem)]

    def _mapped(self, connection: sqlite3.Connection) -> list[Problem]:
        problems = []
        for path in mapped.faulty(self._folder, *_dim_and_metric(connection)):
            if self._repair:
                path.unlink(missing_ok=True)
            message = f"{path.name} does not have the vectors that it says"
            problems.append(Problem(self._name, "mapped", message, repaired=self._repair))
        return problems


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)


def _repaired(problem: Problem) -> Problem:
    return replace(problem, repaired=True)


def _file_faults(connection: sqlite3.Connection) -> Iterator[str]:
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > len(MIGRATIONS):
        yield f"it has format {found}; this version knows formats up to {len(MIGRATIONS)}"
        return
    yield from _integrity_faults(connection)
    if connection.execute("SELECT count(*) FROM settings").fetchone()[0] != 1:
        yield "it has no settings"


def _integrity_faults(connection: sqlite3.Connection) -> Iterator[str]:
    for (message,) in connection.execute(f"PRAGMA integrity_check({_MOST_MESSAGES})"):
        if message != "ok":
            yield message


def _reference_faults(connection: sqlite3.Connection) -> Iterator[str]:
    found = connection.execute("PRAGMA foreign_key_check").fetchmany(_MOST_MESSAGES)
    for table, rowid, parent, _ in found:
        yield f"row {rowid} of {table} refers to a row of {parent} that is not there"


def _row_faults(connection: sqlite3.Connection) -> Iterator[str]:
    for what, sql in _RULES.items():
        if count := connection.execute(sql).fetchone()[0]:
            yield f"{count} {what}"


def _word_faults(connection: sqlite3.Connection) -> Iterator[str]:
    """FTS5 compares its index with the texts: https://sqlite.org/fts5.html#the_integrity_check_command."""
    try:
        connection.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_CORRUPT_VTAB:
            raise
        yield "the full-text index does not agree with the texts"


def _vector_faults(connection: sqlite3.Connection) -> Iterator[str]:
    dim, metric = _dim_and_metric(connection)
    wrong: list[str] = []
    rows = connection.execute("SELECT id, vector FROM passages ORDER BY seq")
    while batch := rows.fetchmany(BLOCK_ROWS):
        wrong += _wrong_vectors(batch, dim, metric)
    for id_ in wrong[:_MOST_MESSAGES]:
        yield f"the vector of {id_!r} is not {dim} finite numbers that {metric} can compare"
    if len(wrong) > _MOST_MESSAGES:
        yield f"so are those of {len(wrong) - _MOST_MESSAGES} others"


def _wrong_vectors(batch: list[tuple[str, bytes]], dim: int, metric: Metric) -> list[str]:
    whole = [(id_, blob) for id_, blob in batch if len(blob) == 4 * dim]
    matrix = np.frombuffer(b"".join(blob for _, blob in whole), dtype="<f4").reshape(-1, dim)
    short = [id_ for id_, blob in batch if len(blob) != 4 * dim]
    return short + [whole[row][0] for row in faulty_rows(matrix, metric)]


async def _graph_fault(folder: Path, connection: sqlite3.Connection) -> str | None:
    if not (folder / snapshot.MANIFEST).exists():
        return None
    shape = snapshot.stored_shape(folder, *_dim_and_metric(connection))
    if shape is None:
        return f"{snapshot.MANIFEST} cannot be read"
    # A graph may have been built when what has expired was hidden and not deleted yet.
    rows = connection.execute(f"SELECT seq FROM passages WHERE seq NOT IN {EXPIRED_SEQS}")  # noqa: S608
    live = np.array([row[0] for row in rows], dtype=np.int64)
    return await _compare(Graph(shape, OneThread("index-check")), folder, live)


async def _compare(graph: Graph, folder: Path, live: Keys) -> str | None:
    if (fault := await snapshot.fault(graph, folder)) is not None:
        return fault
    labels = await graph.labels()
    if missing := len(np.setdiff1d(live[live <= graph.last_seq], labels)):
        return f"it lacks {missing} rows"
    if labels.max(initial=0) > graph.last_seq:
        return "it has rows of a later time than it says"
    return None


def _dim_and_metric(connection: sqlite3.Connection) -> tuple[int, Metric]:
    row: Any = connection.execute("SELECT dim, metric FROM settings").fetchone()
    return row[0], row[1]
