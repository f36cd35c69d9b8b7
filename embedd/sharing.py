"""Rows that are computed once for all who ask: from the cache, from a run under way, or from a new one.

Knows token ids, the scheduler and the cache; neither prompts nor models. Token ids after prompt and cut are
all that a model's answer depends on, so they are what is compared; of models elsewhere that read texts,
these.

Invariants: whoever fails, leaves or is late fails alone: those who waited for its run start one of their own;
nobody waits for a run of another lane, or a person would wait for a job; a row is a bit-by-bit copy of the
first one.
"""

import asyncio
import hashlib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from embedd.cache import Cache
from embedd.encoding import Encoding
from embedd.errors import InputRefused, NotFinite, OutOfMemory, of_input
from embedd.lanes import Lane
from embedd.metrics import ModelMetrics
from embedd.scheduler import Scheduler

_KEY_BYTES = 20

Row = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rows:
    """``values`` (n, dim) in the order of the inputs, of which ``cached`` came from the cache.

    ``queue_s`` and ``forward_s`` as in ``Outputs``; 0 where nothing was run.
    """

    values: npt.NDArray[np.float32]
    queue_s: float
    forward_s: float
    cached: int


class ModelCache:
    """One model's part of a cache. ``identity`` gives what all its rows depend on beside their input, always
    of the same length; while it is not known yet (None) there is nothing to be found and nothing is kept.
    """

    def __init__(self, cache: Cache, identity: Callable[[], bytes | None]) -> None:
        self._cache = cache
        self._identity = identity

    def remembered(self, keys: Collection[bytes]) -> dict[bytes, bytes]:
        return self._own(self._cache.remembered(self._full(keys)))

    async def filed(self, keys: Collection[bytes]) -> dict[bytes, bytes]:
        return self._own(await self._cache.filed(self._full(keys)))

    def put(self, rows: Mapping[bytes, Row]) -> None:
        self._cache.put(dict(zip(self._full(rows), (row.tobytes() for row in rows.values()), strict=False)))

    def _full(self, keys: Collection[bytes]) -> list[bytes]:
        identity = self._identity()
        return [] if identity is None else [identity + key for key in keys]

    def _own(self, rows: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        return {key[-_KEY_BYTES:]: row for key, row in rows.items()}


@dataclass(slots=True)
class _Search:
    """What one request has found so far: the rows of its ``inputs``, which are all different."""

    inputs: Mapping[bytes, int]
    encodings: Sequence[Encoding]
    lane: Lane
    deadline: float
    found: dict[bytes, Row] = field(default_factory=dict)
    cached: set[bytes] = field(default_factory=set)
    computed: int = 0
    queue_s: float = 0.0
    forward_s: float = 0.0

    @property
    def missing(self) -> list[bytes]:
        return [key for key in self.inputs if key not in self.found]

    def take_cached(self, rows: Mapping[bytes, bytes]) -> None:
        self.cached.update(rows)
        self.found.update({key: np.frombuffer(row, dtype=np.float32) for key, row in rows.items()})


class SharedRuns:
    """One model's runs. Without a cache equal inputs are still run once while they are under way."""

    def __init__(
        self, scheduler: Scheduler, dim: int, cache: ModelCache | None, metrics: ModelMetrics
    ) -> None:
        self._scheduler = scheduler
        self._dim = dim
        self._cache = cache
        self._metrics = metrics
        self._under_way: dict[Lane, dict[bytes, asyncio.Future[Row | None]]] = {lane: {} for lane in Lane}

    async def rows(self, inputs: Sequence[Encoding], lane: Lane, deadline: float = math.inf) -> Rows:
        """The model's rows for ``inputs``.

        Raises: what ``Scheduler.run`` does, with the index of the input in ``inputs``.
        """
        keys = [_key(one) for one in inputs]
        first = {key: index for index, key in reversed(list(enumerate(keys)))}
        search = _Search(first, inputs, lane, deadline)
        if self._cache is not None:
            search.take_cached(self._cache.remembered(first))
        while missing := search.missing:
            await self._find(search, missing)
        values = np.empty((len(keys), self._dim), dtype=np.float32)
        for number, key in enumerate(keys):
            values[number] = search.found[key]
        return Rows(values, search.queue_s, search.forward_s, self._count(search, keys))

    async def _find(self, search: _Search, missing: Sequence[bytes]) -> None:
        """Runs what nobody else runs, and waits for the rest, of which some may be missing afterwards."""
        under_way = self._under_way[search.lane]
        others = {key: under_way[key] for key in missing if key in under_way}
        if len(others) < len(missing):
            await self._lead(search, [key for key in missing if key not in others])
        if others:
            await asyncio.wait(others.values())
            rows = {key: future.result() for key, future in others.items()}
            search.found.update({key: row for key, row in rows.items() if row is not None})

    async def _lead(self, search: _Search, keys: Collection[bytes]) -> None:
        """Looks for ``keys`` in the file and runs the rest, while others may wait for the outcome."""
        under_way = self._under_way[search.lane]
        future: Any = asyncio.get_running_loop().create_future
        promised = {key: future() for key in keys}
        under_way.update(promised)
        try:
            if self._cache is not None:
                search.take_cached(await self._cache.filed(keys))
            await self._run(search, [key for key in keys if key not in search.found])
        finally:
            for key, promise in promised.items():
                del under_way[key]
                promise.set_result(search.found.get(key))

    async def _run(self, search: _Search, keys: Sequence[bytes]) -> None:
        if not keys:
            return
        places = [search.inputs[key] for key in keys]
        try:
            outputs = await self._scheduler.run(
                [search.encodings[place] for place in places], search.lane, search.deadline
            )
        except (NotFinite, InputRefused, OutOfMemory) as error:
            raise of_input(error, places[error.index]) from error
        rows: dict[bytes, Row] = dict(zip(keys, outputs.rows, strict=True))
        search.found.update(rows)
        search.computed += len(keys)
        search.queue_s = max(search.queue_s, outputs.queue_s)
        search.forward_s = max(search.forward_s, outputs.forward_s)
        if self._cache is not None:
            self._cache.put(rows)

    def _count(self, search: _Search, keys: Sequence[bytes]) -> int:
        """How many inputs were answered from the cache."""
        cached = sum(key in search.cached for key in keys)
        if self._cache is not None:
            self._metrics.cached(cached, len(keys) - cached)
        if shared := len(keys) - cached - search.computed:
            self._metrics.coalesced(shared)
        return cached


def _key(encoding: Encoding) -> bytes:
    """What tells ``encoding`` apart from all others. BLAKE2: RFC 7693."""
    digest = hashlib.blake2b(encoding.ids.data, digest_size=_KEY_BYTES)
    digest.update((encoding.second + 1).to_bytes(4, "little"))
    for text in encoding.texts:
        written = text.encode()
        digest.update(len(written).to_bytes(8, "little") + written)
    return digest.digest()
