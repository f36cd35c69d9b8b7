"""Which documents match a filter, and what they have under a key, from the attributes of all documents in
memory.

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
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import reduce
from operator import and_
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
from pyroaring import BitMap64

from index.codec import MAX_METADATA_BYTES
from index.database import BUSY_TIMEOUT_S, FILE_NAME, translate
from index.errors import CollectionNotFound
from index.filter_match import MISSING, matcher, value_at
from index.filters import AllOf, AnyOf, Filter, Not, keys_of
from index.postings import RUN_DOCUMENTS, Column, Entry, Run, make_run
from index.vectors import Keys, TableView, VectorTable
from index.writer import Change, WrittenDocuments

T = TypeVar("T")
# A document's id, metadata and tags.
Described: TypeAlias = tuple[str, Mapping[str, Any], Sequence[str]]

# A document's key and id, its metadata and tags as JSON.
Row: TypeAlias = tuple[int, str, str, str]

# Rows that are held against a filter's documents in passing, in less than a millisecond.
MATCHED_INLINE: Final = 100_000
# So many documents that came or changed of late are held against a filter one by one, at about 2 µs each.
MAX_RECENT: Final = 512
# Metadata that was written since the last filter, in characters. With more of it, what is known is dropped:
# to read the truth again, if ever, is no more work.
MAX_WAITING: Final = 32_000_000
_CHARACTERS_PER_DOCUMENT: Final = 100
# The last ones that were asked for are kept: more than one filter can ask for.
MAX_COLUMNS: Final = 512
# A column that keeps more than twice the values that documents have is read again.
MAX_WORN: Final = 2 * RUN_DOCUMENTS
_ATTEMPTS: Final = 3
_DECODED_AT_ONCE: Final = 64
_NO_TAGS: Final = "[]"
# Three numbers, and a text that no other document has.
_BYTES_PER_VALUE: Final = 100


class Since:
    """Which documents were committed or removed since a question: id, metadata and tags (JSON) of each that
    is there.
    """

    def __init__(self) -> None:
        self._changed: dict[int, tuple[str, str, str] | None] = {}

    def __len__(self) -> int:
        return len(self._changed)

    def follow(self, change: Change[Any]) -> None:
        self._changed.update(dict.fromkeys(change.gone))
        if (written := change.written) is not None:
            self._changed.update({row[0]: row[1:] for row in _rows(written)})

    def without(self, documents: Keys) -> Keys:
        """Those of ``documents`` of which still holds what was found."""
        return documents[~np.isin(documents, list(self._changed))] if self._changed else documents

    def matching(self, tree: Filter) -> dict[int, Described]:
        """Those that match, as they are now."""
        known = {key: _described(*held) for key, held in self._changed.items() if held}
        is_match = matcher(tree)
        return {key: document for key, document in known.items() if is_match(*document)}


@dataclass(frozen=True, slots=True)
class Values:
    """What documents have under a key: ``settled`` ones (ascending) in ``runs``, and of each ``recent`` one
    the value.
    """

    settled: Keys
    runs: Sequence[Run]
    recent: Mapping[int, Any]

    @property
    def documents(self) -> Keys:
        """All of them, ascending, those without a value too."""
        recent = np.array(list(self.recent), dtype=np.int64)
        return np.union1d(self.settled, recent) if len(recent) else self.settled


class Attributes:
    """Made by a collection; ``follow`` is told of each change, in order. ``close`` ends it.

    ``followed`` waits until all was followed that the truth may have shown to whoever read it before.
    """

    def __init__(self, folder: Path, name: str, followed: Callable[[], Awaitable[None]]) -> None:
        self._path = folder / FILE_NAME
        self._name = name
        self._followed = followed
        self._known: Columns | None = None
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="index-attributes")
        # One for each question that is being answered.
        self._since: list[Since] = []
        self._waiting = 0
        self._ended = threading.Event()

    def follow(self, change: Change[Any]) -> None:
        """A change was committed."""
        if not (change.gone or change.written):
            return
        for since in self._since:
            since.follow(change)
        if self._known is None:
            return
        self._waiting += _size(change.written)
        self._known.changes.append((change.gone, change.written))
        if self._waiting > MAX_WAITING:
            self._known, self._waiting = None, 0

    async def matching(self, tree: Filter) -> Keys:
        """The keys of the documents that match, ascending, at the moment when this returns.

        Raises:
            CollectionNotFound: it is closed.
            StorageFailed: the truth cannot be read.
        """
        found, since = await self._ask(lambda known: known.matching(tree))
        late = np.array(list(since.matching(tree)), dtype=np.int64)
        return np.union1d(since.without(found), late) if len(since) else found

    async def values(self, tree: Filter, key: str) -> Values:
        """What the documents that match have under ``key``, at the moment when this returns.

        Raises:
            CollectionNotFound, StorageFailed: as in ``matching``.
        """
        found, since = await self._ask(lambda known: known.values(tree, key))
        recent = np.array(list(found.recent), dtype=np.int64)
        kept = {document: found.recent[document] for document in since.without(recent).tolist()}
        late = {document: value_at(key, *held) for document, held in since.matching(tree).items()}
        return Values(since.without(found.settled), found.runs, {**kept, **late})

    async def _ask(self, ask: Callable[["Columns"], T]) -> tuple[T, Since]:
        """What is known, and what has changed since; again, while that is too much to look at in passing."""
        for _ in range(_ATTEMPTS):
            since = Since()
            self._since.append(since)
            try:
                found = await self._answer(ask)
            finally:
                self._since.remove(since)
            if len(since) <= MAX_RECENT:
                break
        return found, since

    async def _answer(self, ask: Callable[["Columns"], T]) -> T:
        if not self._ended.is_set():
            self._known = known = self._known or Columns(self._path, self._ended)
            self._waiting, readings = 0, known.readings
            found = await asyncio.get_running_loop().run_in_executor(self._executor, ask, known)
            if known.readings != readings:
                # It may have met a document that nothing else here knows, and not the one that it replaced.
                await self._followed()
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


async def rows_matching(attributes: Attributes, table: VectorTable, condition: Filter) -> TableView:
    """The rows that match at this moment; they go on to count if they are removed, so that it shows when they
    are joined. Many are looked at beside the event loop.

    Raises:
        CollectionNotFound, StorageFailed: as in ``Attributes.matching``.
    """
    documents = await attributes.matching(condition)
    view = table.view()
    if view.rows <= MATCHED_INLINE:
        return view.of_documents(documents)
    return await asyncio.to_thread(view.frozen().of_documents, documents)


class Columns:
    """What is known of the documents' attributes, for one thread; ``changes`` may be added to by another.

    Reading ends early when ``ended`` is set; what is answered then is of no use.
    """

    def __init__(self, path: Path, ended: threading.Event) -> None:
        self.changes: deque[tuple[Iterable[int], WrittenDocuments | None]] = deque()
        self._ended = ended
        self._path = path
        # The last ones that were asked for come last.
        self._columns: dict[str, Column] = {}
        self._nothing = Column(())
        # The documents that the columns tell of, and those that they do not tell of yet.
        self._settled: BitMap64 | None = None
        self._recent: dict[int, Described] = {}
        # How often the truth was read.
        self.readings = 0

    @property
    def memory_bytes(self) -> int:
        """About how much the columns take."""
        return _BYTES_PER_VALUE * sum(map(len, list(self._columns.values())))

    def matching(self, tree: Filter) -> Keys:
        """The keys of the documents that match, ascending.

        Raises:
            StorageFailed: the truth cannot be read.
        """
        found = self._settled_matching(tree, ())
        found.update(self._recent_matching(tree))
        return _keys(found)

    def values(self, tree: Filter, key: str) -> Values:
        """What the documents that match have under ``key``.

        Raises:
            StorageFailed: the truth cannot be read.
        """
        settled = self._settled_matching(tree, (key,))
        recent = {each: value_at(key, *held) for each, held in self._recent_matching(tree).items()}
        return Values(_keys(settled), self._column(key).runs, recent)

    def _settled_matching(self, tree: Filter, others: Iterable[str]) -> BitMap64:
        """Those that the columns tell of, once these tell of ``others`` as well; may be changed."""
        self._take_on_changes()
        self._settle()
        self._read(keys_of(tree).union(others))
        assert self._settled is not None
        return self._evaluate(tree, self._settled) & self._settled

    def _recent_matching(self, tree: Filter) -> dict[int, Described]:
        is_match = matcher(tree)
        return {key: held for key, held in self._recent.items() if is_match(*held)}

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
                return self._column(tree.key).matching(tree)

    def _column(self, key: str) -> Column:
        return self._columns.get(key, self._nothing)

    def _take_on_changes(self) -> None:
        while self.changes:
            gone, written = self.changes.popleft()
            for key in gone:
                self._recent.pop(key, None)
            if self._settled is not None:
                self._settled -= BitMap64(gone)
            if written is not None:
                self._recent.update({key: _described(*held) for key, *held in _rows(written)})
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
        """Columns for those of the keys that have none, in one pass over the truth; not for keys that are
        longer than any metadata.
        """
        asked = [name for name in names if len(name) <= MAX_METADATA_BYTES]
        missing = [name for name in asked if name not in self._columns]
        if missing or self._settled is None:
            self._columns.update(self._columns_of(missing))
        self._columns.update({name: self._columns.pop(name) for name in asked})
        for name in list(self._columns)[: max(0, len(self._columns) - max(MAX_COLUMNS, len(asked)))]:
            del self._columns[name]

    def _columns_of(self, names: Sequence[str]) -> dict[str, Column]:
        """New columns, and all documents settled if none was."""
        self.readings += 1
        runs: dict[str, list[Run]] = {name: [] for name in names}
        keys = BitMap64()
        for page in self._pages():
            keys |= BitMap64([row[0] for row in page])
            for name, entries in _entries(names, _decoded(page)).items():
                runs[name].append(make_run(entries))
        if self._settled is None:
            self._settled = keys - BitMap64(self._recent)
        return {name: Column(found) for name, found in runs.items()}

    def _pages(self) -> Iterator[list[Row]]:
        """Keys, ids, metadata and tags of all documents in one committed state, in order of their keys."""
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        try:
            with closing(sqlite3.connect(uri, timeout=BUSY_TIMEOUT_S, uri=True)) as connection:
                rows = connection.execute("SELECT key, id, metadata, acl FROM documents ORDER BY key")
                while (page := rows.fetchmany(RUN_DOCUMENTS)) and not self._ended.is_set():
                    yield page
        except sqlite3.Error as error:
            raise translate(error, self._path) from error


def _keys(documents: BitMap64) -> Keys:
    return np.array(documents.to_array(), dtype=np.int64)


def _size(written: WrittenDocuments | None) -> int:
    if written is None:
        return 0
    return sum(map(len, written.metadata)) + _CHARACTERS_PER_DOCUMENT * len(written.metadata)


def _rows(written: WrittenDocuments) -> Iterator[Row]:
    return zip(written.keys, written.ids, written.metadata, written.acls, strict=True)


def _described(id_: str, metadata: str, acl: str) -> Described:
    return id_, json.loads(metadata), _tags(acl)


def _tags(acl: str) -> Sequence[str]:
    return () if acl == _NO_TAGS else json.loads(acl)


def _decoded(page: Sequence[Row]) -> Iterator[tuple[int, str, Mapping[str, Any], Sequence[str]]]:
    """A few at a time: one by one, reading a column takes a third longer, and all together may be large."""
    for start in range(0, len(page), _DECODED_AT_ONCE):
        keys, ids, metadata, acls = zip(*page[start : start + _DECODED_AT_ONCE], strict=True)
        yield from zip(keys, ids, json.loads(f"[{','.join(metadata)}]"), map(_tags, acls), strict=True)


def _entries(
    names: Iterable[str], documents: Iterable[tuple[int, str, Mapping[str, Any], Sequence[str]]]
) -> dict[str, list[Entry]]:
    """What these documents (key, id, metadata, tags) have under each name; each is looked at once."""
    found: dict[str, list[Entry]] = {name: [] for name in names}
    for key, id_, metadata, acl in documents:
        for name, entries in found.items():
            if (value := value_at(name, id_, metadata, acl)) is not MISSING:
                entries.append((key, value))
    return found


def _all(parts: Iterable[BitMap64], settled: BitMap64) -> BitMap64:
    # The fewest first: what is left to compare only shrinks.
    return reduce(and_, sorted(parts, key=len), settled)
