"""The embedder over real worker processes of the fake model, which are told to crash, hang and hold."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from embedd.embedder import Embedder, Lane, ModelLimits, Truncated, open_embedder
from embedd.errors import (
    DeadlineExceeded,
    InvalidInput,
    ModelLoadError,
    ModelUnavailable,
    OutOfMemory,
    Overloaded,
    WorkerDied,
)
from embedd.fake import FakeTokenizer, fake_vectors
from embedd.specs import ModelSpec, parse_spec

TEXTS = ["one red fox", "two red foxes in the snow", "three"]


@asynccontextmanager
async def open_fake(
    faults: Path, limits: ModelLimits | None = None, *, replicas: int = 1
) -> AsyncIterator[Embedder]:
    spec = parse_spec("fake", replicas=replicas)
    async with open_embedder(spec, limits, worker_args=["--faults", str(faults)]) as embedder:
        yield embedder


def expected(texts: list[str]) -> np.ndarray:
    return fake_vectors([one.ids for one in FakeTokenizer().encode(texts, 256, "end")])


def batches(faults: Path) -> list[int]:
    """The tokens of every batch so far."""
    return [int(line) for line in (faults / "batches").read_text().split()]


async def until(condition: object) -> None:
    """Returns when ``condition()`` holds; the test's own timeout is the limit."""
    assert callable(condition)
    while not condition():  # noqa: ASYNC110 - another process makes it true
        await asyncio.sleep(0.002)


async def test_texts_become_vectors_in_order(tmp_path: Path) -> None:
    async with open_fake(tmp_path) as embedder:
        answer = await embedder.embed(TEXTS)
    np.testing.assert_array_equal(answer.vectors, expected(TEXTS))
    assert answer.tokens == (5, 8, 3)
    assert answer.truncated == ()


async def test_no_texts_are_no_vectors(tmp_path: Path) -> None:
    async with open_fake(tmp_path) as embedder:
        assert (await embedder.embed([])).vectors.shape == (0, 64)


async def test_a_prompt_is_put_in_front(tmp_path: Path) -> None:
    async with open_fake(tmp_path) as embedder:
        answer = await embedder.embed(["fox"], prompt="query: ")
    np.testing.assert_array_equal(answer.vectors, expected(["query: fox"]))


async def test_token_ids_stand_for_the_text_they_were_made_from(tmp_path: Path) -> None:
    ids = [one.ids.tolist() for one in FakeTokenizer().encode(TEXTS, 256, "end")]
    async with open_fake(tmp_path) as embedder:
        answer = await embedder.embed([ids[0], TEXTS[1], ids[2][1:-1], ids[1]])
        prompted = await embedder.embed([ids[0], TEXTS[0]], prompt="query: ")
    np.testing.assert_array_equal(answer.vectors, expected([TEXTS[0], TEXTS[1], TEXTS[2], TEXTS[1]]))
    assert answer.tokens == (5, 8, 3, 8)
    np.testing.assert_array_equal(prompted.vectors, expected(["query: " + TEXTS[0]] * 2))


async def test_token_ids_are_cut_and_reported_by_their_place_in_the_request(tmp_path: Path) -> None:
    async with open_fake(tmp_path) as embedder:
        answer = await embedder.embed(["short", [7] * 300])
        assert answer.truncated == (Truncated(index=1, tokens=302, kept=256),)
        with pytest.raises(InvalidInput, match="input 1 has the token id -5"):
            await embedder.embed(["short", [-5], "other"])
        with pytest.raises(InvalidInput, match="input 2 is empty"):
            await embedder.embed(["short", [5], []])


async def test_of_a_far_too_long_text_it_is_told_that_it_was_cut(tmp_path: Path) -> None:
    async with open_embedder(parse_spec("all-MiniLM-L6-v2")) as embedder:
        answer = await embedder.embed(["short", "word " * 200_000])
    (cut,) = answer.truncated
    assert (cut.index, cut.kept, cut.exact) == (1, 256, False)
    assert cut.tokens > 256
    assert answer.tokens == (3, 256)


async def test_a_cut_text_is_reported(tmp_path: Path) -> None:
    async with open_fake(tmp_path) as embedder:
        answer = await embedder.embed(["short", "word " * 300])
        assert answer.truncated == (Truncated(index=1, tokens=302, kept=256),)
        with pytest.raises(InvalidInput, match="input 1 has 302 tokens, the model takes 256"):
            await embedder.embed(["short", "word " * 300], truncate="none")


@pytest.mark.parametrize("blank", ["", "  \n\t"])
async def test_an_empty_text_refuses_the_request(tmp_path: Path, blank: str) -> None:
    async with open_fake(tmp_path) as embedder:
        with pytest.raises(InvalidInput, match="input 1 is empty"):
            await embedder.embed(["full", blank])


async def test_concurrent_requests_share_batches_and_keep_their_own_answers(tmp_path: Path) -> None:
    texts = [f"text number {n} " + "and more " * (n % 7) for n in range(200)]
    (tmp_path / "hold").touch()
    async with open_fake(tmp_path, ModelLimits(max_batch_tokens=400, batches_in_flight=1)) as embedder:
        await embedder.wait_ready()
        calls = [asyncio.ensure_future(embedder.embed([text])) for text in texts]
        await until((tmp_path / "batches").exists)
        (tmp_path / "hold").unlink()
        answers = await asyncio.gather(*calls)
    np.testing.assert_array_equal(np.concatenate([answer.vectors for answer in answers]), expected(texts))
    assert max(batches(tmp_path)) <= 400
    assert len(batches(tmp_path)) < 20


async def test_a_large_request_is_tokenised_in_slices_and_answered_in_order(tmp_path: Path) -> None:
    texts = [f"document {n} " + "padding " * (n % 50) for n in range(300)]
    async with open_fake(tmp_path) as embedder:
        answer = await embedder.embed(texts, lane=Lane.BULK)
        np.testing.assert_array_equal(answer.vectors, expected(texts))
        with pytest.raises(InvalidInput, match="input 299 has"):
            await embedder.embed([*texts[:299], "word " * 300], lane=Lane.BULK, truncate="none")


async def test_a_person_is_served_before_the_jobs_that_wait(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    limits = ModelLimits(max_batch_tokens=10, batches_in_flight=1)
    order: list[str] = []
    async with open_fake(tmp_path, limits) as embedder, asyncio.TaskGroup() as group:

        async def ask(name: str, lane: Lane) -> None:
            await embedder.embed([name], lane=lane)
            order.append(name)

        await embedder.wait_ready()
        group.create_task(ask("running", Lane.BULK))
        await until((tmp_path / "batches").exists)
        jobs = [group.create_task(ask(f"job{n} a b c d", Lane.BULK)) for n in range(3)]
        person = group.create_task(ask("person a b c d", Lane.INTERACTIVE))
        await until(lambda: embedder.waiting_tokens(Lane.INTERACTIVE) > 0)
        (tmp_path / "hold").unlink()
        await asyncio.gather(person, *jobs)
    assert order == ["running", "person a b c d", "job0 a b c d", "job1 a b c d", "job2 a b c d"]


async def test_too_much_waiting_refuses_the_whole_request(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    limits = ModelLimits(max_batch_tokens=10, max_waiting_tokens=50, batches_in_flight=1)
    async with open_fake(tmp_path, limits) as embedder:
        await embedder.wait_ready()
        calls = [asyncio.ensure_future(embedder.embed(["running"]))]
        await until((tmp_path / "batches").exists)
        calls += [asyncio.ensure_future(embedder.embed([f"{n} b c d e f g h"])) for n in range(5)]
        await until(lambda: embedder.waiting_tokens(Lane.INTERACTIVE) == 50)
        with pytest.raises(Overloaded, match="50 tokens waiting, limit 50") as refusal:
            await embedder.embed(["x"])
        assert refusal.value.retry_after_s > 0
        await embedder_answers(embedder, tmp_path, calls)


async def embedder_answers(embedder: Embedder, faults: Path, calls: list[asyncio.Future[object]]) -> None:
    """Lets the held batches go: all admitted calls are answered and new ones are let in."""
    (faults / "hold").unlink()
    await asyncio.gather(*calls)
    await embedder.embed(["x"])


async def test_a_departed_client_costs_no_batch(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    limits = ModelLimits(max_batch_tokens=10, batches_in_flight=1)
    async with open_fake(tmp_path, limits) as embedder:
        await embedder.wait_ready()
        running = asyncio.ensure_future(embedder.embed(["running"]))
        await until((tmp_path / "batches").exists)
        leaving = asyncio.ensure_future(embedder.embed(["a b c d e f"]))
        staying = asyncio.ensure_future(embedder.embed(["a b c"]))
        await until(lambda: embedder.waiting_tokens(Lane.INTERACTIVE) == 13)
        leaving.cancel()
        await asyncio.wait([leaving])
        (tmp_path / "hold").unlink()
        await asyncio.gather(running, staying)
    assert batches(tmp_path) == [3, 5]


async def test_a_deadline_ends_the_wait(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    async with open_fake(tmp_path) as embedder:
        await embedder.wait_ready()
        with pytest.raises(DeadlineExceeded, match=r"1 inputs were not answered within 0\.05 s"):
            await embedder.embed(["slow"], deadline_s=0.05)
        (tmp_path / "hold").unlink()
        await embedder.embed(["next"])


async def test_a_row_that_is_not_finite_is_named_and_its_neighbours_are_answered(tmp_path: Path) -> None:
    (tmp_path / "bad").touch()
    async with open_fake(tmp_path, ModelLimits(batches_in_flight=1)) as embedder:
        outcomes = await asyncio.gather(
            embedder.embed(["x"]), embedder.embed(["a b c"]), return_exceptions=True
        )
    assert isinstance(outcomes[0], InvalidInput)
    assert str(outcomes[0]) == "input 0 has no finite embedding"
    assert not isinstance(outcomes[1], BaseException)


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
