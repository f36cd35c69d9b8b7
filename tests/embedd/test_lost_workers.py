"""What becomes of texts whose workers die, hang, fail or are closed; over real worker processes."""

import asyncio
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from fake_models import batches, expected, open_fake, until

from embedd.embedder import Lane, ModelLimits, open_embedder
from embedd.errors import (
    ModelLoadError,
    ModelUnavailable,
    OutOfMemory,
    WorkerDied,
)
from embedd.specs import ModelSpec

TEXTS = ["one red fox", "two red foxes in the snow", "three"]


async def test_a_worker_killed_from_outside_is_replaced_and_its_batch_runs_again(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    async with open_fake(tmp_path) as embedder:
        await embedder.wait_ready()
        (first,) = embedder.worker_pids
        calls = [asyncio.ensure_future(embedder.embed([text])) for text in TEXTS]
        await until((tmp_path / "batches").exists)
        os.kill(first, signal.SIGKILL)
        (tmp_path / "hold").unlink()
        answers = await asyncio.gather(*calls)
        np.testing.assert_array_equal(np.concatenate([one.vectors for one in answers]), expected(TEXTS))
        assert embedder.status.state == "ready"
        assert embedder.worker_pids != [first]


async def test_a_batch_that_kills_two_workers_fails_with_worker_died(tmp_path: Path) -> None:
    (tmp_path / "always-crash").touch()
    async with open_fake(tmp_path) as embedder:
        with pytest.raises(WorkerDied, match="was killed by SIGKILL"):
            await embedder.embed(["poison"])
        assert len(batches(tmp_path)) == 2
        (tmp_path / "always-crash").unlink()
        await embedder.embed(["fine"])


async def test_another_replica_takes_over_even_what_is_urgent(tmp_path: Path) -> None:
    async with open_fake(tmp_path, replicas=2) as embedder:
        await until(lambda: len(embedder.worker_pids) == 2)
        (tmp_path / "crash").touch()
        answer = await embedder.embed(["urgent"], deadline_s=3.0)
        np.testing.assert_array_equal(answer.vectors, expected(["urgent"]))
        await until(lambda: len(embedder.worker_pids) == 2)


async def test_a_hung_worker_is_killed_and_its_batch_runs_again(tmp_path: Path) -> None:
    (tmp_path / "hang").touch()
    async with open_fake(tmp_path, ModelLimits(batch_timeout_s=0.3)) as embedder:
        await embedder.wait_ready()
        (hung,) = embedder.worker_pids
        answer = await embedder.embed(["stuck"])
        assert (tmp_path / "hanging").exists()
        assert embedder.worker_pids != [hung]
        with pytest.raises(ProcessLookupError):
            os.kill(hung, 0)
    np.testing.assert_array_equal(answer.vectors, expected(["stuck"]))


async def test_a_worker_that_is_stopped_from_outside_is_killed_and_its_batches_run_again(
    tmp_path: Path,
) -> None:
    async with open_fake(tmp_path, ModelLimits(batch_timeout_s=0.3)) as embedder:
        await embedder.wait_ready()
        (stopped,) = embedder.worker_pids
        os.kill(stopped, signal.SIGSTOP)
        answers = await asyncio.gather(*(embedder.embed([text]) for text in TEXTS))
        np.testing.assert_array_equal(np.concatenate([one.vectors for one in answers]), expected(TEXTS))
        assert embedder.worker_pids != [stopped]


async def test_memory_that_runs_out_fails_the_text_that_is_too_long_and_ends_no_worker(
    tmp_path: Path,
) -> None:
    (tmp_path / "memory").write_text("20")
    (tmp_path / "hold").touch()
    async with open_fake(tmp_path, ModelLimits(batches_in_flight=1)) as embedder:
        await embedder.wait_ready()
        (worker,) = embedder.worker_pids
        first = asyncio.ensure_future(embedder.embed(["running"]))
        await until((tmp_path / "batches").exists)
        calls = [asyncio.ensure_future(embedder.embed([text, 9 * f"{len(text)} "])) for text in TEXTS]
        calls.append(asyncio.ensure_future(embedder.embed(["short", "word " * 30])))
        await until(lambda: embedder.waiting_tokens(Lane.INTERACTIVE) == 16 + 3 * 11 + 35)
        (tmp_path / "hold").unlink()
        *answers, error = await asyncio.gather(*calls, return_exceptions=True)
        await first
        assert isinstance(error, OutOfMemory)
        assert error.index == 1
        for text, answer in zip(TEXTS, answers, strict=True):
            np.testing.assert_array_equal(answer.vectors, expected([text, 9 * f"{len(text)} "]))
        assert embedder.worker_pids == [worker]


async def test_a_worker_that_raises_in_a_batch_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "raise").touch()
    async with open_fake(tmp_path) as embedder:
        await embedder.wait_ready()
        (first,) = embedder.worker_pids
        await embedder.embed(["again"])
        assert embedder.worker_pids != [first]


async def test_a_model_that_cannot_be_loaded_says_why_at_once_and_comes_back(tmp_path: Path) -> None:
    (tmp_path / "load-error").write_text("the weights are torn")
    async with open_fake(tmp_path) as embedder:
        assert embedder.status.state == "loading"
        with pytest.raises(ModelUnavailable, match="the weights are torn"):
            await embedder.embed(["waits for the outcome"])
        assert (embedder.status.state, embedder.status.reason) == ("failed", "the weights are torn")
        with pytest.raises(
            ModelUnavailable, match="'fake' cannot be loaded: the weights are torn"
        ) as refusal:
            await embedder.embed(["later"])
        assert refusal.value.retry_after_s > 0
        with pytest.raises(ModelUnavailable):
            await embedder.wait_ready()
        (tmp_path / "load-error").unlink()
        await until(lambda: embedder.status.state == "ready")
        await embedder.embed(["now"])


async def test_closing_settles_what_is_open_and_ends_the_workers(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    async with open_fake(tmp_path) as embedder:
        await embedder.wait_ready()
        (pid,) = embedder.worker_pids
        calls = [asyncio.ensure_future(embedder.embed([text])) for text in TEXTS]
        await until((tmp_path / "batches").exists)
    for call in calls:
        with pytest.raises(ModelUnavailable, match="being shut down"):
            await call
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_an_error_in_the_block_comes_out_as_itself(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with open_fake(tmp_path):
            raise KeyError("mine")


async def test_a_folder_that_is_no_model_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="holds no weights"):
        async with open_embedder(ModelSpec("mine", f"folder:{tmp_path}")):
            pytest.fail("it started")


async def test_a_worker_with_other_vectors_than_its_files_say_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedd.specs.FAKE_DIM", 65)
    async with open_fake(tmp_path) as embedder:
        with pytest.raises(ModelUnavailable, match="vectors of 64 numbers, its files say 65"):
            await embedder.wait_ready()
