"""Paged attention on a GPU by ``varlen_attn``, and the steps of running answers as recorded graphs.

A decode step is hundreds of small kernels, which take longer to start one by one than to run; a graph
starts them at once. There is one for every few sizes of batch; the rows that a smaller batch lacks write to
a page of their own, which is nobody's.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.attention.varlen import varlen_attn

from embedd.worker.attention import UnsupportedAttentionError
from embedd.worker.generation.attention import PagedAttention, Parts, Rule
from embedd.worker.generation.batch import Batch

_SIZES = (1, 2, 4, *range(8, 257, 8))


@dataclass(frozen=True, slots=True)
class _Places:
    """A batch's spans as ``varlen_attn`` takes them.

    ``slots`` (t,) int64: where its tokens' keys go; ``borders`` and ``key_borders`` (n + 1,), ``lengths``
    (n,), and ``tables`` (n, width), int32: the new tokens, all tokens and the pages of its sequences. The
    longest brings at most ``rows`` tokens and has ``most``.
    """

    slots: torch.Tensor
    borders: torch.Tensor
    key_borders: torch.Tensor
    lengths: torch.Tensor
    tables: torch.Tensor
    rows: int
    most: int

    @classmethod
    def of(cls, batch: Batch, size: int) -> "_Places":
        """Those of a batch, in the processor's memory."""
        spans = batch.spans
        counts = spans.borders.diff()
        lengths = spans.before + counts
        sequences = torch.repeat_interleave(counts)
        slots = spans.tables[sequences, batch.positions // size].long() * size + batch.positions % size
        key_borders = torch.nn.functional.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))
        rows, most = int(counts.max()), int(lengths.max())
        return cls(slots, spans.borders, key_borders, lengths, spans.tables, rows, most)

    def to(self, device: torch.device) -> "_Places":
        return _Places(
            self.slots.to(device),
            self.borders.to(device),
            self.key_borders.to(device),
            self.lengths.to(device),
            self.tables.to(device),
            self.rows,
            self.most,
        )


class CudaCache:
    """``pages`` pages of ``size`` tokens for each layer, and one more for rows that are nobody's.

    ``places`` are set for a graph, whose tensors stay; else they are made once for each batch.
    """

    def __init__(self, pages: int, size: int, dtype: torch.dtype, device: torch.device) -> None:
        self.spare = pages
        self.size = size
        self.places: _Places | None = None
        self._dtype = dtype
        self._device = device
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._made: tuple[Batch, _Places] | None = None

    def attend(self, layer: int, parts: Parts, rule: Rule, batch: Batch) -> torch.Tensor:
        """See ``PagedCache``."""
        if rule.softcap:
            raise UnsupportedAttentionError("its scores have a soft cap, which flash attention does not take")
        query, key, value = (part.transpose(0, 1).to(self._dtype).contiguous() for part in parts)
        keys, values = self._pages_of(layer, key)
        places = self.places or self._places_of(batch)
        keys.view(-1, *key.shape[1:]).index_copy_(0, places.slots, key)
        values.view(-1, *value.shape[1:]).index_copy_(0, places.slots, value)
        mixed = varlen_attn(
            query,
            keys,
            values,
            cu_seq_q=places.borders,
            cu_seq_k=places.key_borders,
            max_q=places.rows,
            max_k=places.most,
            scale=rule.scale,
            window_size=(rule.window - 1 if rule.window else -1, 0),
            enable_gqa=query.shape[1] != key.shape[1],
            seqused_k=places.lengths,
            block_table=places.tables,
        )
        assert isinstance(mixed, torch.Tensor)
        return mixed

    def _pages_of(self, layer: int, key: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if layer not in self._layers:
            shape = (self.spare + 1, self.size, *key.shape[1:])
            keys = torch.zeros(shape, dtype=self._dtype, device=self._device)
            self._layers[layer] = keys, torch.zeros_like(keys)
        return self._layers[layer]

    def _places_of(self, batch: Batch) -> _Places:
        if self._made is None or self._made[0] is not batch:
            self._made = batch, _Places.of(batch, self.size).to(self._device)
        return self._made[1]


@dataclass(frozen=True, slots=True)
class _Recorded:
    graph: torch.cuda.CUDAGraph
    tokens: torch.Tensor
    positions: torch.Tensor
    places: _Places
    logits: torch.Tensor


class Graphs:
    """Decode steps of ``model``, recorded when their size first comes up."""

    def __init__(self, model: Any, attention: PagedAttention, context: int, device: torch.device) -> None:
        self._model = model
        self._attention = attention
        self._context = context
        self._device = device
        self._recorded: dict[int, _Recorded] = {}

    def run(self, batch: Batch) -> torch.Tensor | None:
        """The logits (n, vocab) of a batch with one token for each of its n sequences; None of others."""
        count = len(batch.tokens)
        if not count == len(batch.spans.before) == len(batch.rows) or count > _SIZES[-1]:
            return None
        size = next(size for size in _SIZES if size >= count)
        if size not in self._recorded:
            self._recorded[size] = self._record(size)
        recorded = self._recorded[size]
        self._fill(recorded, batch)
        recorded.graph.replay()
        return recorded.logits[:count]

    @property
    def _cache(self) -> CudaCache:
        cache = self._attention.cache
        assert isinstance(cache, CudaCache)
        return cache

    def _record(self, size: int) -> _Recorded:
        tokens = torch.zeros(1, size, dtype=torch.long, device=self._device)
        positions, places, cache = torch.zeros_like(tokens), self._idle(size), self._cache
        cache.places = places
        try:
            self._compute(tokens, positions)  # what is set up at the first call must not be recorded
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                logits = self._compute(tokens, positions)
        finally:
            cache.places = None
        return _Recorded(graph, tokens, positions, places, logits)

    def _compute(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        output = self._model(input_ids=tokens, position_ids=positions, use_cache=False)
        logits: torch.Tensor = output.logits[0]
        return logits

    def _idle(self, size: int) -> _Places:
        """Places of ``size`` rows that are nobody's, in tensors that stay."""
        cache = self._cache
        ones = torch.ones(size, dtype=torch.int32)
        borders = torch.arange(size + 1, dtype=torch.int32)
        tables = torch.full((size, -(-self._context // cache.size)), cache.spare, dtype=torch.int32)
        slots = torch.full((size,), cache.spare * cache.size)
        return _Places(slots, borders, borders.clone(), ones, tables, 1, self._context).to(self._device)

    def _fill(self, recorded: _Recorded, batch: Batch) -> None:
        """Puts a batch where the graph reads it; rows behind it are nobody's."""
        count, size = len(batch.tokens), recorded.tokens.shape[1]
        cache, made = self._cache, _Places.of(batch, self._cache.size)
        pad = torch.nn.functional.pad
        idle = size - count
        recorded.tokens[0, :count].copy_(batch.tokens)
        recorded.positions[0].copy_(pad(batch.positions, (0, idle)))
        recorded.places.slots.copy_(pad(made.slots, (0, idle), value=cache.spare * cache.size))
        lengths = pad(made.lengths, (0, idle), value=1)
        recorded.places.lengths.copy_(lengths)
        recorded.places.key_borders[1:].copy_(lengths.cumsum(0, dtype=torch.int32))
        recorded.places.tables[:count, : made.tables.shape[1]].copy_(made.tables)
        recorded.places.tables[count:].fill_(cache.spare)
