"""What a model's queue, workers and requests are counted by, for Prometheus.

Knows names, labels and buckets; not what the numbers come from: whoever does the work calls a method here
that is named for what happened. What can be asked at any time (queue depth and age, live workers, the rate)
is read when it is scraped, and costs nothing otherwise. Nothing is registered but in the given registry.

The ``te_*`` series are those of text-embeddings-inference under their own names, so that its dashboards keep
working; all carry the model's name. What TEI calls a counter is a gauge here that only grows: the client
library ends the name of every counter in ``_total``.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from embedd.errors import DeadlineExceeded, InvalidInput, Overloaded
from embedd.lanes import Lane

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ITEMS = tuple(2**power for power in range(11))
_TOKENS = tuple(2**power for power in range(2, 18))

_METHODS = ("single", "batch")

_FAILURES = {
    Overloaded: "overloaded",
    InvalidInput: "validation",
    DeadlineExceeded: "dropped",
    asyncio.CancelledError: "dropped",
}
"""TEI's word for what became of a request; ``inference`` for all that is not here."""


class Queue(Protocol):
    """What is read at every scrape: see ``ModelMetrics.follow``."""

    def waiting_pieces(self, lane: Lane) -> int: ...
    def waiting_tokens(self, lane: Lane) -> int: ...
    @property
    def oldest_wait_s(self) -> float: ...
    @property
    def tokens_per_s(self) -> float: ...
    @property
    def live_workers(self) -> int: ...


StageListener = Callable[[str, str, float, float], None]
"""Told by the request itself, in its own context: the model, the stage, how long it took, and how long ago it
ended, in seconds.
"""


class Metrics:
    """All families, each once in ``registry``; ``of`` gives one model's part of them."""

    def __init__(self, registry: CollectorRegistry, on_stage: StageListener | None = None) -> None:
        self._registry = registry
        self.on_stage = on_stage
        self.queue_pieces = self._gauge("embedd_queue_pieces", "Inputs that wait", "lane")
        self.queue_tokens = self._gauge("embedd_queue_tokens", "Tokens that wait", "lane")
        self.queue_oldest = self._gauge("embedd_queue_oldest_seconds", "Age of the oldest input that waits")
        self.workers_live = self._gauge("embedd_workers_live", "Worker processes that are loaded")
        self.tokens_per_s = self._gauge("embedd_tokens_per_second", "Measured rate of full batches")
        self.batch_items = self._histogram("embedd_batch_items", "Inputs of a batch", _ITEMS)
        self.batch_tokens = self._histogram("embedd_batch_tokens", "Tokens of a batch, unpadded", _TOKENS)
        self.stage_seconds = self._histogram(
            "embedd_stage_seconds", "Time of a request in one stage", _SECONDS, "stage"
        )
        self.tokens = self._counter("embedd_tokens", "Tokens that were run, without padding")
        self.padding = self._counter("embedd_padding_tokens", "Padding that was run; 0 on a packed forward")
        self.cache_hits = self._counter("embedd_cache_hits", "Inputs answered from the cache")
        self.cache_misses = self._counter("embedd_cache_misses", "Inputs looked for in the cache in vain")
        self.coalesced = self._counter("embedd_coalesced", "Inputs that shared the run of an equal one")
        self.truncated = self._counter("embedd_truncated_inputs", "Inputs that were cut")
        self.not_finite = self._counter("embedd_nonfinite_rows", "Answers that were not finite")
        self.overloaded = self._counter("embedd_overloaded", "Requests refused because too much waited")
        self.departed = self._counter("embedd_departed", "Inputs dropped: client gone or deadline passed")
        self.restarts = self._counter(
            "embedd_worker_restarts", "Workers that ended, or did not start, and were started again"
        )
        self.retries = self._counter("embedd_batch_retries", "Batches put back after their worker was lost")
        self._add_tei()

    def _add_tei(self) -> None:
        self.te_count = self._gauge("te_request_count", "Requests begun", "method")
        self.te_success = self._gauge("te_request_success", "Requests answered", "method")
        self.te_failure = self._gauge("te_request_failure", "Requests failed", "err")
        self.te_duration = self._histogram("te_request_duration", "Time of a request", _SECONDS)
        self.te_tokenization = self._histogram(
            "te_request_tokenization_duration", "Time of a request's tokenisation", _SECONDS
        )
        self.te_queue = self._histogram("te_request_queue_duration", "Time of a request's wait", _SECONDS)
        self.te_inference = self._histogram(
            "te_request_inference_duration", "Time of a request's forward", _SECONDS
        )
        self.te_input_length = self._histogram("te_request_input_length", "Tokens of an input", _TOKENS)
        self.te_batch_size = self._histogram("te_batch_next_size", "Inputs of a batch", _ITEMS)
        self.te_batch_tokens = self._histogram("te_batch_next_tokens", "Tokens of a batch", _TOKENS)
        self.te_queue_size = self._gauge("te_queue_size", "Inputs that wait")
        self.te_embed_count = self._gauge("te_embed_count", "Inputs asked for")
        self.te_embed_success = self._gauge("te_embed_success", "Inputs answered")

    def of(self, model: str) -> "ModelMetrics":
        return ModelMetrics(self, model)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, ["model"], registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, ["model", *labels], registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, text, ["model", *labels], registry=self._registry, buckets=buckets)


class ModelMetrics:
    """The series of one model; made by ``Metrics.of``.

    The engine tells of requests (down to ``truncated``), the scheduler and the pool of the rest.
    """

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._metrics = metrics
        self._model = model
        self._stages = {
            stage: metrics.stage_seconds.labels(model, stage)
            for stage in ("queue", "tokenize", "forward", "encode")
        }
        self._te_stages = {
            "tokenize": metrics.te_tokenization.labels(model),
            "queue": metrics.te_queue.labels(model),
            "forward": metrics.te_inference.labels(model),
        }
        self._te_count = {method: metrics.te_count.labels(model, method) for method in _METHODS}
        self._te_success = {method: metrics.te_success.labels(model, method) for method in _METHODS}
        self._te_embed_count = metrics.te_embed_count.labels(model)
        self._te_embed_success = metrics.te_embed_success.labels(model)
        self._te_duration = metrics.te_duration.labels(model)
        self._input_length = metrics.te_input_length.labels(model)
        self._batch_items = [metrics.batch_items.labels(model), metrics.te_batch_size.labels(model)]
        self._batch_tokens = [metrics.batch_tokens.labels(model), metrics.te_batch_tokens.labels(model)]
        self._tokens = metrics.tokens.labels(model)
        self._padding = metrics.padding.labels(model)
        self._cache_hits = metrics.cache_hits.labels(model)
        self._cache_misses = metrics.cache_misses.labels(model)
        self._coalesced = metrics.coalesced.labels(model)
        self._truncated = metrics.truncated.labels(model)
        self._not_finite = metrics.not_finite.labels(model)
        self._overloaded = metrics.overloaded.labels(model)
        self._departed = metrics.departed.labels(model)
        self._restarts = metrics.restarts.labels(model)
        self._retries = metrics.retries.labels(model)

    @contextmanager
    def request(self, inputs: int) -> Iterator[None]:
        """Around all the work of a request of so many inputs: counts it, times it, names its failure."""
        method = "single" if inputs == 1 else "batch"
        began = time.perf_counter()
        self._te_count[method].inc()
        self._te_embed_count.inc(inputs)
        try:
            yield
        except BaseException as error:
            self._metrics.te_failure.labels(self._model, _failure(error)).inc()
            raise
        self._te_success[method].inc()
        self._te_embed_success.inc(inputs)
        self._te_duration.observe(time.perf_counter() - began)

    def tokenized(self, seconds: float, lengths: Sequence[int]) -> None:
        """A request was tokenised; ``lengths`` are the tokens of its inputs, after the cut."""
        self._took("tokenize", seconds)
        for length in lengths:
            self._input_length.observe(length)

    def encoded(self, seconds: float) -> None:
        """An answer was written in its client's format."""
        self._took("encode", seconds)

    def cached(self, hits: int, misses: int) -> None:
        self._cache_hits.inc(hits)
        self._cache_misses.inc(misses)

    def coalesced(self, inputs: int) -> None:
        self._coalesced.inc(inputs)

    def truncated(self, inputs: int) -> None:
        self._truncated.inc(inputs)

    def follow(self, queue: Queue) -> None:
        """Reads ``queue`` at every scrape from now on."""
        metrics, model = self._metrics, self._model
        for lane in Lane:
            pieces, tokens = partial(queue.waiting_pieces, lane), partial(queue.waiting_tokens, lane)
            metrics.queue_pieces.labels(model, lane.value).set_function(pieces)
            metrics.queue_tokens.labels(model, lane.value).set_function(tokens)
        metrics.te_queue_size.labels(model).set_function(lambda: sum(map(queue.waiting_pieces, Lane)))
        metrics.queue_oldest.labels(model).set_function(lambda: queue.oldest_wait_s)
        metrics.tokens_per_s.labels(model).set_function(lambda: queue.tokens_per_s)
        metrics.workers_live.labels(model).set_function(lambda: queue.live_workers)

    def ran(self, queue_s: float, forward_s: float) -> None:
        """A request came back from the workers."""
        self._took("queue", queue_s, ago_s=forward_s)
        self._took("forward", forward_s)

    def batch_ran(self, items: int, tokens: int, padding: int) -> None:
        for histogram in self._batch_items:
            histogram.observe(items)
        for histogram in self._batch_tokens:
            histogram.observe(tokens)
        self._tokens.inc(tokens)
        self._padding.inc(padding)

    def not_finite(self, rows: int) -> None:
        self._not_finite.inc(rows)

    def overloaded(self) -> None:
        self._overloaded.inc()

    def departed(self, pieces: int) -> None:
        self._departed.inc(pieces)

    def batch_retried(self) -> None:
        self._retries.inc()

    def worker_restarted(self) -> None:
        self._restarts.inc()

    def _took(self, stage: str, seconds: float, *, ago_s: float = 0.0) -> None:
        self._stages[stage].observe(seconds)
        if stage in self._te_stages:
            self._te_stages[stage].observe(seconds)
        if self._metrics.on_stage is not None:
            self._metrics.on_stage(self._model, stage, seconds, ago_s)


def _failure(error: BaseException) -> str:
    return next((word for kind, word in _FAILURES.items() if isinstance(error, kind)), "inference")
