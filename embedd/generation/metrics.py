"""What generators are counted by, for Prometheus, in the terms of vLLM.

Knows names, labels and buckets, like ``embedd.metrics``: whoever does the work calls a method that is named
for what happened; what a worker's pages and queues are is read when it is scraped.
"""

import time
from collections.abc import Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from embedd.generators import Usage

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_TOKENS = tuple(2**power for power in range(1, 18))


class Engine(Protocol):
    """What is read at every scrape: see ``GeneratorMetrics.follow``."""

    @property
    def running(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def kv_usage(self) -> float: ...
    @property
    def preempted(self) -> int: ...
    @property
    def live_workers(self) -> int: ...


class GenerationMetrics:
    """All families, each once in ``registry``; ``of`` gives one generator's part of them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.running = self._gauge("embedd_generation_running", "Answers that are being written")
        self.waiting = self._gauge("embedd_generation_waiting", "Answers that wait to be begun")
        self.kv_usage = self._gauge("embedd_kv_cache_usage_ratio", "Share of the KV cache's pages in use")
        self.preempted = self._gauge("embedd_generation_preempted", "Answers put back for want of pages")
        self.workers_live = self._gauge("embedd_generation_workers_live", "Worker processes that are loaded")
        self.first_token = self._histogram(
            "embedd_time_to_first_token_seconds", "From the request to its first token", _SECONDS
        )
        self.between_tokens = self._histogram(
            "embedd_inter_token_latency_seconds", "From one token of an answer to the next", _SECONDS
        )
        self.seconds = self._histogram("embedd_generation_seconds", "From a request to its end", _SECONDS)
        self.prompt_length = self._histogram("embedd_prompt_tokens", "Tokens of a prompt", _TOKENS)
        self.answer_length = self._histogram("embedd_answer_tokens", "Tokens of the answers to it", _TOKENS)
        self.prefix_hits = self._counter("embedd_prefix_hit_tokens", "Prompt tokens found in the KV cache")
        self.accepted = self._counter("embedd_spec_accepted_tokens", "Tokens guessed ahead and right")
        self.rejected = self._counter("embedd_spec_rejected_tokens", "Tokens guessed ahead in vain")
        self.answers = self._counter("embedd_answers", "Answers by how they ended", "finish_reason")
        self.invented = self._counter(
            "embedd_invented_citations", "Citations of passages that were not there, left out of answers"
        )
        self.overloaded = self._counter("embedd_generation_overloaded", "Requests refused: too much waited")
        self.restarts = self._counter(
            "embedd_generation_worker_restarts",
            "Workers that ended, or did not start, and were started again",
        )

    def of(self, generator: str) -> "GeneratorMetrics":
        return GeneratorMetrics(self, generator)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, ["model", *labels], registry=self._registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, ["model"], registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(name, text, ["model"], registry=self._registry, buckets=buckets)


class GeneratorMetrics:
    """The series of one generator; made by ``GenerationMetrics.of``."""

    def __init__(self, metrics: GenerationMetrics, generator: str) -> None:
        self._metrics = metrics
        self._name = generator
        self._first_token = metrics.first_token.labels(generator)
        self._between_tokens = metrics.between_tokens.labels(generator)
        self._seconds = metrics.seconds.labels(generator)
        self._prompt_length = metrics.prompt_length.labels(generator)
        self._answer_length = metrics.answer_length.labels(generator)
        self._prefix_hits = metrics.prefix_hits.labels(generator)
        self._accepted = metrics.accepted.labels(generator)
        self._rejected = metrics.rejected.labels(generator)
        self._invented = metrics.invented.labels(generator)
        self._overloaded = metrics.overloaded.labels(generator)
        self._restarts = metrics.restarts.labels(generator)

    def follow(self, engine: Engine) -> None:
        """Reads ``engine`` at every scrape from now on."""
        metrics = self._metrics
        metrics.running.labels(self._name).set_function(lambda: engine.running)
        metrics.waiting.labels(self._name).set_function(lambda: engine.waiting)
        metrics.kv_usage.labels(self._name).set_function(lambda: engine.kv_usage)
        metrics.preempted.labels(self._name).set_function(lambda: engine.preempted)
        metrics.workers_live.labels(self._name).set_function(lambda: engine.live_workers)

    def invented_citations(self, count: int) -> None:
        self._invented.inc(count)

    def overloaded(self) -> None:
        self._overloaded.inc()

    def worker_restarted(self) -> None:
        self._restarts.inc()

    def request(self) -> "RequestTimes":
        """A request begins now."""
        return RequestTimes(self)

    def first_token(self, seconds: float) -> None:
        self._first_token.observe(seconds)

    def next_tokens(self, seconds: float, count: int) -> None:
        """``count`` tokens of one answer came together, so long after the one before."""
        for _ in range(count):
            self._between_tokens.observe(seconds / count)

    def ended(self, reason: str) -> None:
        self._metrics.answers.labels(self._name, reason).inc()

    def answered(self, seconds: float, usage: Usage) -> None:
        self._seconds.observe(seconds)
        self._prompt_length.observe(usage.prompt_tokens)
        self._answer_length.observe(usage.completion_tokens)
        self._prefix_hits.inc(usage.cached_tokens)
        self._accepted.inc(usage.accepted_tokens)
        self._rejected.inc(usage.rejected_tokens)


class RequestTimes:
    """When the tokens of one request came, choice by choice."""

    def __init__(self, metrics: GeneratorMetrics) -> None:
        self._metrics = metrics
        self._began = time.perf_counter()
        self._last: dict[int, float] = {}

    def tokens(self, choice: int, count: int) -> None:
        """So many tokens of ``choice`` are there."""
        now = time.perf_counter()
        if choice in self._last:
            self._metrics.next_tokens(now - self._last[choice], count)
        elif not self._last:
            self._metrics.first_token(now - self._began)
        self._last[choice] = now

    def ended(self, reason: str) -> None:
        """A choice is complete, or was ``cancelled``, or there was an ``error``."""
        self._metrics.ended(reason)

    def answered(self, usage: Usage) -> None:
        """All choices are."""
        self._metrics.answered(time.perf_counter() - self._began, usage)
