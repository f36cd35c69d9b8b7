"""What an engine does before and around its runs: equal inputs once, the cache, the clock, the counts."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_models import batches, expected, until
from fake_models import open_fake as open_any_fake
from prometheus_client import CollectorRegistry

from embedd.cache import Cache, CacheLimits, open_cache
from embedd.embedder import Embedder, open_embedder
from embedd.errors import DeadlineExceeded, InvalidInput, ModelLoadError, ModelUnavailable, NotFinite
from embedd.fake import FakeTokenizer, fake_token_vectors
from embedd.lanes import Lane
from embedd.launch import ModelLimits, worker_commands
from embedd.metrics import Metrics
from embedd.sources import resolve
from embedd.specs import Weights, fake_card, parse_spec, read_card


@asynccontextmanager
async def open_fake(faults: Path, cache: Cache | None = None, **more: Any) -> AsyncIterator[Embedder]:
    async with open_any_fake(faults, cache=cache, **more) as embedder:
        await embedder.wait_ready()
        yield embedder


async def test_equal_inputs_of_a_request_are_computed_once(tmp_path: Path) -> None:
    async with open_fake(tmp_path) as embedder:
        answer = await embedder.embed(["red fox", "snow", "red fox", "Red Fox"])
    np.testing.assert_array_equal(answer.vectors, expected(["red fox", "snow", "red fox", "red fox"]))
    assert answer.tokens == (4, 3, 4, 4)
    assert batches(tmp_path) == [7]


async def test_equal_inputs_of_concurrent_requests_are_computed_once(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    async with open_fake(tmp_path) as embedder:
        first = asyncio.ensure_future(embedder.embed(["red fox", "snow"]))
        await until(lambda: batches(tmp_path))
        others = [asyncio.ensure_future(embedder.embed(["snow"])) for _ in range(3)]
        await asyncio.sleep(0)
        (tmp_path / "hold").unlink()
        answers = await asyncio.gather(first, *others)
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer.vectors, expected(["snow"]))
    assert batches(tmp_path) == [7]


@pytest.mark.parametrize("leave", [True, False])
async def test_who_waited_for_a_run_that_failed_runs_it_again(tmp_path: Path, *, leave: bool) -> None:
    (tmp_path / "hold").touch()
    async with open_fake(tmp_path, limits=ModelLimits(batches_in_flight=1)) as embedder:
        first = asyncio.ensure_future(embedder.embed(["red fox"], deadline_s=None if leave else 0.2))
        await until(lambda: batches(tmp_path))
        second = asyncio.ensure_future(embedder.embed(["red fox", "snow"]))
        await until(lambda: embedder.waiting_tokens(Lane.INTERACTIVE) == 3)
        if leave:
            first.cancel()
        with pytest.raises(asyncio.CancelledError if leave else DeadlineExceeded):
            await first
        (tmp_path / "hold").unlink()
        np.testing.assert_array_equal((await second).vectors, expected(["red fox", "snow"]))


async def test_who_leaves_while_waiting_for_anothers_run_does_not_end_it(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    async with open_fake(tmp_path) as embedder:
        first = asyncio.ensure_future(embedder.embed(["red fox"]))
        await until(lambda: batches(tmp_path))
        second = asyncio.ensure_future(embedder.embed(["red fox"]))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        (tmp_path / "hold").unlink()
        np.testing.assert_array_equal((await first).vectors, expected(["red fox"]))
    assert batches(tmp_path) == [4]


async def test_a_person_does_not_wait_for_the_run_of_a_job(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    async with open_fake(tmp_path, limits=ModelLimits(batches_in_flight=1)) as embedder:
        job = asyncio.ensure_future(embedder.embed(["red fox"], lane=Lane.BULK))
        await until(lambda: batches(tmp_path))
        person = asyncio.ensure_future(embedder.embed(["red fox"]))
        await until(lambda: embedder.waiting_tokens(Lane.INTERACTIVE) == 4)
        (tmp_path / "hold").unlink()
        await asyncio.gather(job, person)


async def test_closing_settles_those_who_wait_for_anothers_run(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    async with open_fake(tmp_path) as embedder:
        calls = [asyncio.ensure_future(embedder.embed(["red fox"])) for _ in range(3)]
        await until(lambda: batches(tmp_path))
    for call in calls:
        with pytest.raises(ModelUnavailable, match="being shut down"):
            await call


async def test_an_input_without_a_finite_answer_is_named_by_its_place_in_the_request(tmp_path: Path) -> None:
    async with open_cache(CacheLimits()) as cache, open_fake(tmp_path, cache) as embedder:
        await embedder.embed(["known before"])
        (tmp_path / "bad").touch()
        with pytest.raises(NotFinite, match="input 3 has no finite embedding") as failure:
            await embedder.embed(["known before", "a b c d", "a b c d", "x"])
        assert failure.value.index == 3


async def test_a_hit_is_bit_identical_and_costs_no_batch(tmp_path: Path) -> None:
    async with open_cache(CacheLimits()) as cache, open_fake(tmp_path, cache) as embedder:
        first = await embedder.embed(["red fox", "snow"])
        second = await embedder.embed(["snow", "tide", "red fox", "snow"])
    np.testing.assert_array_equal(second.vectors[[2, 0]], first.vectors)
    assert (first.cached, second.cached) == (0, 3)
    assert batches(tmp_path) == [7, 3]


async def test_a_hit_goes_by_what_the_model_reads(tmp_path: Path) -> None:
    async with open_cache(CacheLimits()) as cache, open_fake(tmp_path, cache) as embedder:
        await embedder.embed(["query: red fox"])
        ids = embedder.tokenizer.encode(["query: red fox"], 256, "end")[0].ids.tolist()
        assert (await embedder.embed(["red fox"], prompt="query: ")).cached == 1
        assert (await embedder.embed([ids])).cached == 1
        assert (await embedder.embed(["red fox"])).cached == 0


async def test_what_is_known_needs_no_worker(tmp_path: Path) -> None:
    async with open_cache(CacheLimits()) as cache, open_fake(tmp_path, cache) as embedder:
        known = await embedder.embed(["red fox"])
        (tmp_path / "load-error").write_text("the weights are gone")
        os.kill(embedder.worker_pids[0], signal.SIGKILL)
        await until(lambda: embedder.status.state == "failed")
        np.testing.assert_array_equal((await embedder.embed(["red fox"])).vectors, known.vectors)
        with pytest.raises(ModelUnavailable, match="the weights are gone"):
            await embedder.embed(["red fox", "snow"])


async def test_other_weights_miss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_cache(CacheLimits()) as cache:
        async with open_fake(tmp_path, cache) as embedder:
            await embedder.embed(["red fox"])
        for other in (Weights(Path(), "1", "other sum"), Weights(Path(), "other revision", "other sum")):
            monkeypatch.setattr("embedd.engine.resolve", lambda _, weights=other: weights)
            async with open_fake(tmp_path, cache) as embedder:
                assert (await embedder.embed(["red fox"])).cached == 0


async def test_the_file_answers_after_a_restart(tmp_path: Path) -> None:
    limits = CacheLimits(file=tmp_path / "rows.db")
    async with open_cache(limits) as cache, open_fake(tmp_path, cache) as embedder:
        first = await embedder.embed(["red fox", "snow"])
    async with open_cache(limits) as cache, open_fake(tmp_path, cache) as embedder:
        assert (await embedder.embed(["snow"])).cached == 1
        second = await embedder.embed(["tide", "snow", "red fox"])
    np.testing.assert_array_equal(second.vectors[[2, 1]], first.vectors)
    assert second.cached == 2
    assert batches(tmp_path) == [7, 3]


async def test_token_vectors_come_in_order_and_leave_the_cache_alone(tmp_path: Path) -> None:
    async with open_cache(CacheLimits()) as cache, open_fake(tmp_path, cache) as embedder:
        await embedder.embed(["red fox"])
        answer = await embedder.embed(["snow", "red fox", "snow"], token_dtype="float32")
        assert (await embedder.embed([], token_dtype="int8")).token_vectors is None
    assert answer.cached == 0
    assert answer.token_vectors is not None
    assert answer.token_vectors.offsets.tolist() == [0, 3, 7, 10]
    fox = FakeTokenizer().encode(["red fox"], 256, "end")[0].ids
    np.testing.assert_array_equal(answer.token_vectors[1], fake_token_vectors(fox))


async def test_requests_are_counted(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry).of("fake")

    def count(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, {"model": "fake", **labels})

    async with open_cache(CacheLimits()) as cache, open_fake(tmp_path, cache, metrics=metrics) as embedder:
        await embedder.embed(["red fox", "red fox", "word " * 300])
        await embedder.embed(["red fox"])
        with pytest.raises(InvalidInput):
            await embedder.embed([""])
    assert count("embedd_cache_hits_total") == 1
    assert count("embedd_cache_misses_total") == 3
    assert count("embedd_coalesced_total") == 1
    assert count("embedd_truncated_inputs_total") == 1
    assert count("embedd_stage_seconds_count", stage="tokenize") == 2
    assert count("te_request_failure", err="validation") == 1


async def test_a_request_says_what_it_took(tmp_path: Path) -> None:
    async with open_cache(CacheLimits()) as cache, open_fake(tmp_path, cache) as embedder:
        first, again = [(await embedder.embed(["red fox"])).times for _ in range(2)]
        assert embedder.device == "cpu"
    assert min(first.tokenize_s, first.queue_s, first.forward_s) > 0
    assert (again.queue_s, again.forward_s) == (0, 0)


async def test_a_model_of_the_other_kind_is_refused() -> None:
    with pytest.raises(ModelLoadError, match="'fake-reranker' is for reranking, not for embedding"):
        async with open_embedder(parse_spec("fake-reranker")):
            pytest.fail("it started")


def test_replicas_are_spread_over_the_devices() -> None:
    spec = parse_spec("all-MiniLM-L6-v2", device="cuda:0,cuda:1", replicas=3, dtype="bfloat16", compiled=True)
    weights = resolve(spec)
    commands = worker_commands(spec, weights, read_card(spec, weights), ModelLimits(), ["--more"])
    devices = [command.args[command.args.index("--device") + 1] for command in commands]
    assert devices == ["cuda:0", "cuda:1", "cuda:0"]
    assert commands[0].args[-2:] == ("--compile", "--more")
    assert "bfloat16" in commands[0].args


def test_every_device_has_a_worker() -> None:
    spec = parse_spec("fake", device="cuda:0,cuda:1")
    weights = resolve(spec)
    assert len(worker_commands(spec, weights, fake_card(spec, weights), ModelLimits(), [])) == 2
