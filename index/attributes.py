"""Which documents match a filter, from the attributes of all documents in memory.

A column for each key that a filter has asked for, read from ``truth.db`` when it is asked for the first time
and kept up to date by the changes that were committed since. A collection that is never filtered pays for
none of it, and one that is not filtered any more stops paying.

All of it belongs to one thread. Changes are handed over on the event loop, and taken on by the thread before
it next answers, so an answer knows every change that was handed over before its question. Reading the truth
comes after that, and may see commits that are still to be handed over: taking them on twice does no harm.
"""

import asyncio
import json
import sqlite3
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import reduce
from operator import and_
from pathlib import Path
from typing import Any, Final

import numpy as np
from pyroaring import BitMap64

from index.database import BUSY_TIMEOUT_S, FILE_NAME, translate
from index.errors import CollectionNotFound
from index.filter_match import MISSING, matches, value_at
from index.filters import AllOf, AnyOf, Filter, Not, keys_of
from index.postings import RUN_DOCUMENTS, Column, Entry, Run, make_run
from index.vectors import Keys
from index.writer import Change, WrittenDocuments

# So many documents that came or changed of late are held against a filter one by one, at about 2 µs each.
MAX_RECENT: Final = 512
# Metadata that was written since the last filter, in characters. With more of it, what is known is dropped:
# to read the truth again, if ever, is no more work.
MAX_WAITING: Final = 32_000_000
_CHARACTERS_PER_DOCUMENT: Final = 100
# A column that keeps more than twice the values that documents have is read again.
MAX_WORN: Final = 2 * RUN_DOCUMENTS
_ATTEMPTS: Final = 3
# Three numbers, and a text that no other document has.
_BYTES_PER_VALUE: Final = 100


class Attributes:
    """Made by a collection; ``follow`` is told of each change, in order. ``close`` ends it."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / FILE_NAME
        self._name = name
        self._known: Columns | None = None
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="index-attributes")
        self._changes = 0
        self._waiting = 0
        self._ended = threading.Event()

    def follow(self, change: Change[Any]) -> None:
        """A change was committed."""
        if self._known is None or not (change.gone or change.written):
            return
        self._changes += 1
        self._waiting += _size(change.written)
        self._known.changes.append((change.gone, change.written))
        if self._waiting > MAX_WAITING:
            self._known, self._waiting = None, 0

    async def matching(self, tree: Filter) -> Keys:
        """The keys of the documents that match, ascending.

        Raises:
            CollectionNotFound: it is closed.
            StorageFailed: the truth cannot be read.
        """
        for _ in range(_ATTEMPTS):
            changes = self._changes
            found = await self._ask(tree)
            # A document that was replaced meanwhile has another key now, and would be missed.
            if changes == self._changes:
                break
        return found

    async def _ask(self, tree: Filter) -> Keys:
        if not self._ended.is_set():
            self._known = known = self._known or Columns(self._path, self._ended)
            self._waiting = 0
            found = await asyncio.get_running_loop().run_in_executor(self._executor, known.matching, tree)
            # One that ends while it reads has not read everything.
            if not self._ended.is_set():
                return found
        raise CollectionNotFound(self._name)

    @property
    def memory_bytes(self) -> int:
        """About how much it takes; 0 while nothing is filtered."""
        return self._waiting + (self._known.memory_bytes if self._known else 0)

    def close(self) -> None:
        """Answer no more, and stop reading."""
        self._ended.set()
        self._executor.shutdown(wait=False)


class Columns:
    """What is known of the documents' attributes, for one thread; ``changes`` may be added to by another.

    Reading ends early when ``ended`` is set; what is answered then is of no use.
    """

    def __init__(self, path: Path, ended: threading.Event) -> None:
        self.changes: deque[tuple[Iterable[int], WrittenDocuments | None]] = deque()
        self._ended = ended
        self._path = path
        self._columns: dict[str, Column] = {}
        # The documents that the columns tell of, and those that they do not tell of yet.
        self._settled: BitMap64 | None = None
        self._recent: dict[int, tuple[str, Mapping[str, Any]]] = {}

    @property
    def memory_bytes(self) -> int:
        """About how much the columns take."""
        return _BYTES_PER_VALUE * sum(map(len, list(self._columns.values())))

    def matching(self, tree: Filter) -> Keys:
        """The keys of the documents that match, ascending.

        Raises:
            StorageFailed: the truth cannot be read.
        """
        self._take_on_changes()
        self._settle()
        self._read(keys_of(tree))
        assert self._settled is not None
        found = self._evaluate(tree, self._settled) & self._settled
        found.update(key for key, (id_, metadata) in self._recent.items() if matches(tree, id_, metadata))
        return np.array(found.to_array(), dtype=np.int64)

    def _evaluate(self, tree: Filter, settled: BitMap64) -> BitMap64:
        """A bitmap that is right about the settled documents; not to be changed."""
        match tree:
            case AllOf(parts):
                return _all([self._evaluate(part, settled) for part in parts], settled)
            case AnyOf(parts):
                return BitMap64().union(*(self._evaluate(part, settled) for part in parts))
            case Not(part):
                return settled - self._evaluate(part, settled)
            case _:
                return self._columns[tree.key].matching(tree)

    def _take_on_changes(self) -> None:
        while self.changes:
            gone, written = self.changes.popleft()
            for key in gone:
                self._recent.pop(key, None)
            if self._settled is not None:
                self._settled -= BitMap64(gone)
            if written is not None:
                rows = zip(written.keys, written.ids, map(json.loads, written.metadata), strict=True)
                self._recent.update({key: (id_, metadata) for key, id_, metadata in rows})
                if self._settled is not None:
                    self._settled -= BitMap64(written.keys)

    def _settle(self) -> None:
        """Let the columns tell of the recent documents, once these are many; drop worn columns."""
        if len(self._recent) <= MAX_RECENT or self._settled is None:
            return
        entries = _entries(self._columns, ((key, *document) for key, document in self._recent.items()))
        for name, column in list(self._columns.items()):
            column.replace(self._recent, entries[name])
            if len(column) > 2 * len(self._settled) + MAX_WORN:
                del self._columns[name]
        self._settled |= BitMap64(self._recent)
        self._recent = {}

    def _read(self, names: Iterable[str]) -> None:
        """Columns for those of the keys that have none, in one pass over the truth."""
        missing = [name for name in names if name not in self._columns]
        if not missing and self._settled is not None:
            return
        runs: dict[str, list[Run]] = {name: [] for name in missing}
        keys = BitMap64()
        for page in self._pages():
            keys |= BitMap64([key for key, _, _ in page])
            documents = ((key, id_, json.loads(metadata)) for key, id_, metadata in page)
            for name, entries in _entries(missing, documents).items():
                runs[name].append(make_run(entries))
        self._columns.update({name: Column(found) for name, found in runs.items()})
        if self._settled is None:
            self._settled = keys - BitMap64(self._recent)

    def _pages(self) -> Iterator[list[tuple[int, str, str]]]:
        """Keys, ids and metadata of all documents in one committed state, in order of their keys."""
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        try:
            with closing(sqlite3.connect(uri, timeout=BUSY_TIMEOUT_S, uri=True)) as connection:
                rows = connection.execute("SELECT key, id, metadata FROM documents ORDER BY key")
                while (page := rows.fetchmany(RUN_DOCUMENTS)) and not self._ended.is_set():
                    yield page
        except sqlite3.Error as error:
            raise translate(error, self._path) from error


def _size(written: WrittenDocuments | None) -> int:
    if written is None:
        return 0
    return sum(map(len, written.metadata)) + _CHARACTERS_PER_DOCUMENT * len(written.metadata)


def _entries(
    names: Iterable[str], documents: Iterable[tuple[int, str, Mapping[str, Any]]]
) -> dict[str, list[Entry]]:
    """What these documents (key, id, metadata) have under each name; each is looked at once and let go."""
    found: dict[str, list[Entry]] = {name: [] for name in names}
    for key, id_, metadata in documents:
        for name, entries in found.items():
            if (value := value_at(name, id_, metadata)) is not MISSING:
                entries.append((key, value))
    return found


def _all(parts: Iterable[BitMap64], settled: BitMap64) -> BitMap64:
    # The fewest first: what is left to compare only shrinks.
    return reduce(and_, sorted(parts, key=len), settled)
