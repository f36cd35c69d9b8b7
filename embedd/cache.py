"""Rows that models have computed before: bounded, in memory and, if asked for, in a file that outlives them.

Knows keys and bytes; no models and no texts. A key says everything that a row depends on: model, weights,
dtype and token ids; see ``embedd.sharing``.

Invariants: a row comes back bit by bit as it was put; the memory is used by the event loop alone and the file
by one thread alone; whatever becomes of the file costs nothing but the rows in it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from embedd.cache_file import CacheFile

_ENTRY_BYTES = 250
"""What an entry takes beside its row: the key, three objects, a place in the table."""

_MOST_UNWRITTEN_BYTES = 2**24


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """At most ``memory_bytes`` in memory, 0 for nothing; ``file`` takes at most about ``file_bytes``."""

    memory_bytes: int = 64 * 2**20
    file: Path | None = None
    file_bytes: int = 2**30


class Cache:
    """Made by ``open_cache``; the models of a service share one. What was used last is kept longest."""

    def __init__(self, limits: CacheLimits, file: "_FileThread | None" = None) -> None:
        self._limit = limits.memory_bytes
        self._file = file
        self._rows: OrderedDict[bytes, bytes] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        """How many rows are in memory."""
        return len(self._rows)

    def remembered(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Those of the rows that are in memory."""
        found = {key: row for key in keys if (row := self._rows.get(key)) is not None}
        for key in found:
            self._rows.move_to_end(key)
        return found

    async def filed(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Those of the rows that are in the file; from now on they are in memory, too."""
        if self._file is None:
            return {}
        found = await self._file.read(list(keys))
        self._remember(found)
        return found

    def put(self, rows: Mapping[bytes, bytes]) -> None:
        """Keeps ``rows`` in memory, and in the file as soon as it can be written."""
        self._remember(rows)
        if self._file is not None:
            self._file.write(rows)

    def _remember(self, rows: Mapping[bytes, bytes]) -> None:
        for key, row in rows.items():
            self._forget(self._rows.pop(key, None))
            self._rows[key] = row
            self.size_bytes += len(row) + _ENTRY_BYTES
        while self.size_bytes > self._limit:
            self._forget(self._rows.popitem(last=False)[1])

    def _forget(self, row: bytes | None) -> None:
        if row is not None:
            self.size_bytes -= len(row) + _ENTRY_BYTES


class _FileThread:
    """The file and the thread that uses it. Rows that come faster than they can be written are left out."""

    def __init__(self, file: CacheFile, thread: ThreadPoolExecutor) -> None:
        self._file = file
        self._thread = thread
        self._unwritten_bytes = 0
        self._loop = asyncio.get_running_loop()

    async def read(self, keys: list[bytes]) -> dict[bytes, bytes]:
        return await self._loop.run_in_executor(self._thread, self._file.read, keys)

    def write(self, rows: Mapping[bytes, bytes]) -> None:
        size = sum(map(len, rows.values()))
        if self._unwritten_bytes + size <= _MOST_UNWRITTEN_BYTES:
            self._unwritten_bytes += size
            written = self._loop.run_in_executor(self._thread, self._file.write, dict(rows))
            written.add_done_callback(lambda _: self._wrote(size))

    def _wrote(self, size: int) -> None:
        self._unwritten_bytes -= size


@asynccontextmanager
async def open_cache(limits: CacheLimits) -> AsyncIterator[Cache]:
    """An empty cache, or one over the rows that ``limits.file`` has; they are all in it when this is left."""
    if limits.file is None:
        yield Cache(limits)
        return
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="cache-file") as thread:
        loop = asyncio.get_running_loop()
        file = CacheFile(limits.file, limits.file_bytes)
        await loop.run_in_executor(thread, file.open)
        try:
            yield Cache(limits, _FileThread(file, thread))
        finally:
            await loop.run_in_executor(thread, file.close)
