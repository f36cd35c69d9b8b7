"""What a scrape says after what happened, read as Prometheus would read it."""

import asyncio
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from embedd.errors import DeadlineExceeded, InvalidInput, ModelUnavailable, Overloaded, WorkerDied
from embedd.lanes import Lane
from embedd.metrics import Metrics

MODEL = {"model": "minilm"}


@dataclass
class StandingQueue:
    """A queue as ``ModelMetrics.follow`` reads it."""

    oldest_wait_s: float = 1.5
    tokens_per_s: float = 40_000.0
    live_workers: int = 2

    def waiting_pieces(self, lane: Lane) -> int:
        return {Lane.INTERACTIVE: 3, Lane.BULK: 40}[lane]

    def waiting_tokens(self, lane: Lane) -> int:
        return {Lane.INTERACTIVE: 30, Lane.BULK: 4000}[lane]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, {**MODEL, **labels})


def test_every_series_is_there_under_its_name_before_anything_happened(
    registry: CollectorRegistry, metrics: Metrics
) -> None:
    model = metrics.of("minilm")
    model.follow(StandingQueue())
    with model.request(1):
        pass
    with pytest.raises(InvalidInput), model.request(1):
        raise InvalidInput("input 0 is empty")
    text = generate_latest(registry).decode()
    samples = {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}
    histograms = [
        *("embedd_batch_items", "embedd_batch_tokens", "embedd_stage_seconds"),
        *("te_request_duration", "te_request_tokenization_duration", "te_request_queue_duration"),
        *("te_request_inference_duration", "te_request_input_length"),
        *("te_batch_next_size", "te_batch_next_tokens"),
    ]
    plain = [
        *("embedd_queue_pieces", "embedd_queue_tokens", "embedd_queue_oldest_seconds"),
        *("embedd_padding_tokens_total", "embedd_tokens_total"),
        *("embedd_cache_hits_total", "embedd_cache_misses_total", "embedd_coalesced_total"),
        *("embedd_truncated_inputs_total", "embedd_nonfinite_rows_total", "embedd_overloaded_total"),
        *("embedd_departed_total", "embedd_worker_restarts_total", "embedd_batch_retries_total"),
        *("embedd_workers_live", "embedd_tokens_per_second"),
        *("te_request_count", "te_request_success", "te_request_failure"),
        *("te_queue_size", "te_embed_count", "te_embed_success"),
    ]
    assert {*plain, *(f"{name}_bucket" for name in histograms)} <= samples


def test_the_queue_is_read_when_it_is_scraped(registry: CollectorRegistry, metrics: Metrics) -> None:
    queue = StandingQueue()
    metrics.of("minilm").follow(queue)
    assert value(registry, "embedd_queue_pieces", lane="bulk") == 40
    assert value(registry, "embedd_queue_tokens", lane="interactive") == 30
    assert value(registry, "te_queue_size") == 43
    assert value(registry, "embedd_tokens_per_second") == 40_000
    assert value(registry, "embedd_workers_live") == 2
    queue.oldest_wait_s = 2.5
    assert value(registry, "embedd_queue_oldest_seconds") == 2.5


def test_a_request_is_counted_once_and_its_inputs_each(registry: CollectorRegistry, metrics: Metrics) -> None:
    with metrics.of("minilm").request(32):
        assert value(registry, "te_request_success", method="batch") == 0
    assert value(registry, "te_request_count", method="batch") == 1
    assert value(registry, "te_request_success", method="batch") == 1
    assert value(registry, "te_embed_count") == value(registry, "te_embed_success") == 32
    assert value(registry, "te_request_duration_count") == 1


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (Overloaded("full", 1.0), "overloaded"),
        (InvalidInput("input 0 is empty"), "validation"),
        (DeadlineExceeded("late"), "dropped"),
        (asyncio.CancelledError(), "dropped"),
        (WorkerDied("gone", 1.0), "inference"),
        (ModelUnavailable("down", 1.0), "inference"),
    ],
)
def test_a_failure_is_counted_under_the_word_tei_has_for_it(
    registry: CollectorRegistry, metrics: Metrics, error: BaseException, word: str
) -> None:
    with pytest.raises(type(error)), metrics.of("minilm").request(1):
        raise error
    assert value(registry, "te_request_failure", err=word) == 1
    assert value(registry, "te_embed_success") in {None, 0}


def test_stages_and_batches_are_told_under_both_names(registry: CollectorRegistry, metrics: Metrics) -> None:
    model = metrics.of("minilm")
    model.tokenized(0.25, [3, 5])
    model.ran(queue_s=0.5, forward_s=2.0)
    model.encoded(0.125)
    model.batch_ran(items=2, tokens=8, padding=2)
    sums = {
        stage: value(registry, "embedd_stage_seconds_sum", stage=stage)
        for stage in ("tokenize", "queue", "forward", "encode")
    }
    assert sums == {"tokenize": 0.25, "queue": 0.5, "forward": 2.0, "encode": 0.125}
    assert value(registry, "te_request_tokenization_duration_sum") == 0.25
    assert value(registry, "te_request_queue_duration_sum") == 0.5
    assert value(registry, "te_request_inference_duration_sum") == 2.0
    assert value(registry, "te_request_input_length_sum") == 8
    assert value(registry, "embedd_batch_items_sum") == value(registry, "te_batch_next_size_sum") == 2
    assert value(registry, "embedd_batch_tokens_sum") == value(registry, "te_batch_next_tokens_sum") == 8
    assert value(registry, "embedd_tokens_total") == 8
    assert value(registry, "embedd_padding_tokens_total") == 2


def test_each_model_has_its_own_numbers(registry: CollectorRegistry, metrics: Metrics) -> None:
    mine, other = metrics.of("minilm"), metrics.of("reranker")
    mine.cached(hits=3, misses=1)
    other.cached(hits=1, misses=0)
    assert value(registry, "embedd_cache_hits_total") == 3
    assert registry.get_sample_value("embedd_cache_hits_total", {"model": "reranker"}) == 1


@pytest.mark.parametrize(
    ("tell", "name"),
    [
        ("coalesced", "embedd_coalesced_total"),
        ("truncated", "embedd_truncated_inputs_total"),
        ("not_finite", "embedd_nonfinite_rows_total"),
        ("departed", "embedd_departed_total"),
    ],
)
def test_inputs_are_counted(registry: CollectorRegistry, metrics: Metrics, tell: str, name: str) -> None:
    getattr(metrics.of("minilm"), tell)(7)
    assert value(registry, name) == 7


@pytest.mark.parametrize(
    ("tell", "name"),
    [
        ("overloaded", "embedd_overloaded_total"),
        ("batch_retried", "embedd_batch_retries_total"),
        ("worker_restarted", "embedd_worker_restarts_total"),
    ],
)
def test_events_are_counted(registry: CollectorRegistry, metrics: Metrics, tell: str, name: str) -> None:
    getattr(metrics.of("minilm"), tell)()
    assert value(registry, name) == 1
