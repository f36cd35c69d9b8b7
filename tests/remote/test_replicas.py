"""Several servers of one model: who is asked, what becomes of those that fail, and of what they held."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fake_models import expected, until
from model_servers import (
    Behave,
    answering,
    breaking_off,
    falling_silent,
    numbers,
    open_tei,
    refusing,
    saying,
)
from remote_models import QUICK, open_elsewhere

from embedd.embedder import Lane
from embedd.errors import InputRefused, ModelUnavailable, NotFinite, Overloaded, WorkerDied
from embedd.remote import pool as pool_module
from embedd.remote.peers import Facts
from embedd.remote.tei import Tei


def fresh(count: int = 1) -> list[str]:
    return [f"words number {next(numbers)}" for _ in range(count)]


async def test_work_goes_where_least_of_it_waits() -> None:
    async with open_tei() as one, open_tei() as other, open_elsewhere(f"{one.url}|{other.url}") as embedder:
        await until(lambda: embedder._engine._pool.live == 2)
        one.hold.clear()
        waiting = asyncio.create_task(embedder.embed(fresh(8)))
        await until(lambda: one.busy or other.busy)
        held, free = (one, other) if one.busy else (other, one)
        if held is other:
            other.hold.clear()
        else:
            other.hold.set()
        free.hold.set()
        before = len(free.of("/embed"))
        for _ in range(5):
            await embedder.embed(fresh())
        assert len(free.of("/embed")) - before >= 4
        one.hold.set()
        other.hold.set()
        await waiting


async def test_a_server_that_dies_under_load_costs_nobody_an_answer() -> None:
    async with open_tei() as one, open_tei() as other:
        port = int(other.url.rpartition(":")[2])
        async with open_elsewhere(f"{one.url}|{other.url}") as embedder:
            await until(lambda: embedder._engine._pool.live == 2)
            other.hold.clear()
            texts = fresh(60)
            asked = [asyncio.create_task(embedder.embed([text])) for text in texts]
            await until(lambda: other.busy)
            await other.stop()
            rows = [(await task).vectors[0] for task in asked]
            np.testing.assert_allclose(rows, expected(texts), rtol=1e-5)
            assert embedder.status.state == "ready"
            assert embedder._engine._pool.live == 1
            async with open_tei(port=port) as again:
                await until(lambda: embedder._engine._pool.live == 2)
                one.hold.clear()
                more = [asyncio.create_task(embedder.embed(fresh(8))) for _ in range(2)]
                await until(lambda: again.of("/embed"))
                one.hold.set()
                await asyncio.gather(*more)


async def test_without_a_server_requests_are_refused_with_the_reason_until_one_is_back() -> None:
    async with open_tei() as server:
        port = int(server.url.rpartition(":")[2])
        async with open_elsewhere(server.url, cached=True) as embedder:
            known = await embedder.embed(["known"])
            await server.stop()
            await until(lambda: embedder.status.state == "failed")
            assert server.url in embedder.status.reason
            with pytest.raises(
                ModelUnavailable, match=rf"'far' is not there: .*{server.url} cannot be reached"
            ):
                await embedder.embed(fresh())
            np.testing.assert_array_equal((await embedder.embed(["known"])).vectors, known.vectors)
            async with open_tei(port=port):
                await until(lambda: embedder.status.state == "ready")
                await embedder.embed(fresh())


async def test_a_model_is_waited_for_that_is_not_there_at_the_start() -> None:
    async with open_tei() as server:
        port = int(server.url.rpartition(":")[2])
        await server.stop()
        with pytest.raises(AssertionError, match="cannot be reached"):
            async with open_elsewhere(server.url, patience_s=0.3):
                pass

        async def use() -> None:
            async with open_elsewhere(server.url) as embedder:
                await embedder.embed(fresh())

        using = asyncio.create_task(use())
        async with open_tei(port=port):
            await using


BAD_ANSWERS: list[tuple[Behave, str]] = [
    (saying(b"garbage"), "cannot be read"),
    (saying(b"\xff\xfe"), "cannot be read"),
    (saying(b"[" * 5000), "cannot be read"),
    (answering([]), "0 vectors"),
    (answering([[0.5, 0.5]]), r"shape \(1, 2\), not \(1, 64\)"),
    (answering([[0.5] * 64] * 3), "3 vectors"),
    (answering({"error": "x"}), "cannot be read"),
    (refusing(500, "boom"), "answered 500: boom"),
    (refusing(424, "backend"), "answered 424: backend"),
    (breaking_off, "broke off"),
    (falling_silent, "did not answer in time|took more than"),
]


@pytest.mark.parametrize(("behave", "message"), BAD_ANSWERS)
async def test_a_bad_answer_runs_once_more_and_then_fails_alone(behave: Behave, message: str) -> None:
    times = replace(QUICK, silence_s=0.3) if behave is falling_silent else QUICK
    async with open_tei() as server, open_elsewhere(server.url, times=times) as embedder:
        server.next = [behave]
        texts = fresh()
        if behave is not falling_silent:  # then it is given up, and there is no other
            np.testing.assert_allclose((await embedder.embed(texts)).vectors, expected(texts), rtol=1e-5)
        server.next = [behave, behave]
        with pytest.raises((WorkerDied, ModelUnavailable), match=message) as failure:
            await embedder.embed(fresh())
        assert server.url in str(failure.value)
        assert "'far'" in str(failure.value)
        await until(lambda: embedder.status.state == "ready")
        server.next = []
        await embedder.embed(fresh())


async def test_what_is_no_number_fails_its_own_request_alone() -> None:
    async with open_tei() as server, open_elsewhere(server.url) as embedder:

        async def behave(request: Any) -> Any:
            inputs = (await request.json())["inputs"]
            rows = zip(inputs, server.vectors(inputs), strict=True)
            return await answering([[None] * 64 if text == "nan" else row for text, row in rows])(request)

        server.behave = behave
        with pytest.raises(NotFinite, match="input 2 has no finite embedding"):
            await embedder.embed([*fresh(2), "nan", *fresh(2)])
        asked = [asyncio.create_task(embedder.embed([text])) for text in [*fresh(2), "nan", *fresh(2)]]
        done = await asyncio.gather(*asked, return_exceptions=True)
        assert [number for number, one in enumerate(done) if isinstance(one, NotFinite)] == [2]


async def test_an_input_that_is_refused_takes_no_other_along() -> None:
    async with open_tei() as server, open_elsewhere(server.url) as embedder:
        texts = [*fresh(3), "poison", *fresh(3)]

        async def behave(request: Any) -> Any:
            inputs = (await request.json())["inputs"]
            if "poison" in inputs:
                return await refusing(422, "cannot tokenize that")(request)
            return await answering(server.vectors(inputs))(request)

        server.behave = behave
        asked = [asyncio.create_task(embedder.embed([text])) for text in texts]
        done = await asyncio.gather(*asked, return_exceptions=True)
        assert [number for number, one in enumerate(done) if isinstance(one, Exception)] == [3]
        assert isinstance(done[3], InputRefused)
        with pytest.raises(InputRefused, match=r"input 3 was refused: .*cannot tokenize that"):
            await embedder.embed([*fresh(3), "poison"])
        assert embedder.status.state == "ready"


async def test_a_server_that_takes_less_than_it_says_gets_less() -> None:
    async with open_tei(most=8) as server, open_elsewhere(server.url) as embedder:
        server.most = 2
        texts = fresh(8)
        np.testing.assert_allclose((await embedder.embed(texts)).vectors, expected(texts), rtol=1e-5)


async def test_a_server_that_takes_nothing_now_is_left_alone_and_says_for_how_long() -> None:
    async with open_tei() as server, open_elsewhere(server.url) as embedder:
        server.behave = refusing(429, "Model is overloaded", **{"Retry-After": "7"})
        with pytest.raises(Overloaded, match="take nothing more now") as refusal:
            await embedder.embed(fresh())
        assert 6 < refusal.value.retry_after_s <= 7
        assert embedder.status.state == "ready"
        asked = len(server.of("/embed"))
        with pytest.raises(Overloaded):
            await embedder.embed(fresh())
        assert len(server.of("/embed")) == asked


async def test_what_one_server_does_not_take_another_does() -> None:
    async with open_tei() as one, open_tei() as other, open_elsewhere(f"{one.url}|{other.url}") as embedder:
        await until(lambda: embedder._engine._pool.live == 2)
        one.behave = refusing(429, "Model is overloaded", **{"Retry-After": "60"})
        for _ in range(4):
            await embedder.embed(fresh())
        assert len(other.of("/embed")) == 4
        assert len(one.of("/embed")) <= 1


async def test_another_model_behind_an_address_is_not_asked() -> None:
    async with (
        open_tei() as one,
        open_tei(rotated=True) as other,
        open_elsewhere(f"{one.url}|{other.url}") as embedder,
    ):
        pool = embedder._engine._pool
        await until(lambda: pool.live and "another model than was there before" in pool.problem)
        for _ in range(4):
            await embedder.embed(fresh())
        assert bool(one.of("/embed")) != bool(other.of("/embed"))


async def test_another_model_that_comes_behind_an_address_is_noticed_while_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_module, "_COMPARED_EVERY_S", 0.2)
    async with open_tei() as server, open_elsewhere(server.url) as embedder:
        await embedder.embed(fresh())
        server.rotated = True
        async with asyncio.timeout(20):
            with suppress(ModelUnavailable):
                while True:
                    await embedder.embed(fresh())
                    await asyncio.sleep(0.01)
        assert "another model than was there before" in embedder._engine._pool.problem


async def test_a_server_that_is_not_understood_leaves_the_others_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    describe = Tei.describe
    async with open_tei() as one, open_tei() as other:

        async def describe_all_but_one(self: Tei) -> Facts:
            if self._asker.url == one.url:
                raise KeyError("what nobody has thought of")
            return await describe(self)

        monkeypatch.setattr(Tei, "describe", describe_all_but_one)
        async with open_elsewhere(f"{one.url}|{other.url}") as embedder:
            pool = embedder._engine._pool
            await until(lambda: "what nobody has thought of" in pool.problem)
            await embedder.embed(fresh())
            assert pool.live == 1
            monkeypatch.undo()
            await until(lambda: pool.live == 2)


async def test_an_unhealthy_server_is_noticed_while_nobody_asks() -> None:
    async with open_tei() as server, open_elsewhere(server.url) as embedder:
        server.healthy = False
        await until(lambda: embedder.status.state != "ready")
        server.healthy = True
        await until(lambda: embedder.status.state == "ready")


async def test_several_batches_are_under_way_and_not_too_many() -> None:
    async with open_tei() as server, open_elsewhere(server.url) as embedder:

        async def behave(request: Any) -> Any:
            inputs = (await request.json())["inputs"]
            await asyncio.sleep(0.01)
            return await answering(server.vectors(inputs))(request)

        server.behave = behave
        await embedder.embed(fresh(400), lane=Lane.BULK)
        assert 2 <= server.busiest <= 16


async def test_a_request_that_is_given_up_frees_its_place() -> None:
    async with open_tei() as server, open_elsewhere(server.url) as embedder:
        server.hold.clear()
        asked = [asyncio.create_task(embedder.embed(fresh(8))) for _ in range(6)]
        await until(lambda: embedder.waiting_tokens(Lane.INTERACTIVE))
        for task in asked:
            task.cancel()
        await asyncio.wait(asked)
        assert embedder.waiting_tokens(Lane.INTERACTIVE) == 0
        server.hold.set()
        await embedder.embed(fresh())


async def test_tokens_are_told_by_another_server_where_one_says_nothing() -> None:
    times = replace(QUICK, silence_s=2.0)
    async with (
        open_tei() as one,
        open_tei() as other,
        open_elsewhere(f"{one.url}|{other.url}", times=times) as embedder,
    ):
        pool = embedder._engine._pool
        await until(lambda: pool.live == 2)
        one.tokenizes = False
        text = " ".join(fresh(40))
        (cut,) = (await embedder.embed([text])).truncated
        assert cut.tokens == 122
        assert one.of("/tokenize")
        assert other.of("/tokenize")
        assert pool._replicas[0].strikes == 1
        asked = len(one.of("/tokenize"))
        await embedder.embed([" ".join(fresh(40))])
        assert len(one.of("/tokenize")) == asked
