"""The generator's worker as the service has it: a process, spoken to by calls, heard by events."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from tiny_generators import answer_of, build_generator, open_engine, payload_of, prompts, request_of, run_all

from embedd.child import Child, open_child
from embedd.errors import CallFailed, ChildDied
from embedd.sources import weights_sha256

MODULE = "embedd.worker.generation"
ENDLESS = {"max_tokens": 400, "temperature": 1.0}

on_the_shared_loop = pytest.mark.asyncio(loop_scope="module")


class Worker:
    """A worker that has loaded, and all it said unasked."""

    def __init__(self, hello: Mapping[str, Any]) -> None:
        self.child: Child
        self.hello = hello
        self.events: list[Mapping[str, Any]] = []
        self._heard = asyncio.Event()

    def hear(self, event: Mapping[str, Any]) -> None:
        self.events.append(event)
        self._heard.set()

    async def next_event(self) -> Mapping[str, Any]:
        self._heard.clear()
        await self._heard.wait()
        return self.events[-1]

    async def generate(self, prompt: list[int], **changes: Any) -> tuple[list[int], Mapping[str, Any]]:
        """The tokens of the events of one request, alone, and its reply."""
        first = len(self.events)
        reply = await self.child.call("generate", payload_of(prompt, **changes))
        heard = [tokens for event in self.events[first:] for _, tokens, _ in event["tokens"]]
        return [token for tokens in heard for token in tokens], reply

    async def is_idle(self) -> bool:
        """Whether all pages are free after one more request."""
        await self.generate([5], max_tokens=1)
        last = self.events[-1]
        return last["free_pages"] == self.hello["pages"] and last["running"] == last["waiting"] == 0


@contextlib.asynccontextmanager
async def open_worker(folder: Path, *options: str, grace_s: float = 1.0) -> AsyncIterator[Worker]:
    worker = Worker({})
    arguments = ["--folder", str(folder), "--sha256", weights_sha256(folder), "--device", "cpu"]
    arguments += ["--dtype", "float32", "--kv-tokens", "2048", *options]
    async with open_child(MODULE, arguments, on_event=worker.hear, grace_s=grace_s) as child:
        worker.child = child
        worker.hello = await child.call("load", {})
        yield worker


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_generator(tmp_path_factory.mktemp("llama"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(folder: Path) -> AsyncIterator[Worker]:
    """One for all tests that leave it as it was, but for its cache: to start one takes seconds."""
    async with open_worker(folder) as worker:
        yield worker


@on_the_shared_loop
async def test_the_hello_says_what_the_service_plans_with(worker: Worker) -> None:
    hello = dict(worker.hello)
    assert hello.pop("weights_bytes") > 4 * 2 * 300 * 64
    assert hello == {
        "device": "cpu",
        "dtype": "float32",
        "threads": 1,
        "vocab": 300,
        "context": 512,
        "page_tokens": 32,
        "pages": 64,
        "max_running": 64,
    }


@on_the_shared_loop
async def test_answers_come_in_events_and_what_became_of_them_in_the_reply(
    worker: Worker, folder: Path
) -> None:
    prompt = prompts([50])[0]
    request = request_of(0, prompt)
    expected = run_all(open_engine(folder), [request])[0]
    before = len(worker.events)
    tokens, reply = await worker.generate(prompt)
    again, second = await worker.generate(prompt, logprobs=1)
    [_, _, [[value, [[best, other]]]]] = worker.events[-1]["tokens"][0]
    assert tokens == again == expected == answer_of(request)
    assert reply == {
        "finish_reason": "length",
        "prompt_tokens": 50,
        "cached_tokens": 0,
        "completion_tokens": 24,
        "accepted_tokens": 0,
        "rejected_tokens": 0,
    }
    assert second["cached_tokens"] == 32
    assert (value, best) == (other, tokens[-1])
    first, then = worker.events[before : before + 2]
    assert first.keys() == {
        *("tokens", "running", "waiting", "free_pages", "cached_pages"),
        *("preempted", "seconds", "decode_tokens", "prefill_tokens"),
    }
    assert (first["prefill_tokens"], then["decode_tokens"]) == (50, 1)


@on_the_shared_loop
async def test_many_requests_run_beside_each_other(worker: Worker, folder: Path) -> None:
    asked = prompts(range(3, 43, 2))
    expected = run_all(open_engine(folder), [request_of(n, prompt, 20) for n, prompt in enumerate(asked)])
    before = len(worker.events)
    await asyncio.gather(*(worker.child.call("generate", payload_of(prompt, 20)) for prompt in asked))
    events = worker.events[before:]
    found: dict[int, list[int]] = {}
    for event in events:
        for number, tokens, _ in event["tokens"]:
            found.setdefault(number, []).extend(tokens)
    assert [found[number] for number in sorted(found)] == expected
    assert max(event["running"] for event in events) > 10


@on_the_shared_loop
async def test_a_cancelled_request_ends_within_a_step(worker: Worker) -> None:
    call = worker.child.begin("generate", payload_of([5, 6], **ENDLESS))
    while not (await worker.next_event())["tokens"]:
        pass
    assert await worker.child.call("cancel", {"request": call.id}) == {}
    reply = await call.reply
    assert reply["finish_reason"] == "cancelled"
    assert 0 < reply["completion_tokens"] < 400
    assert await worker.child.call("cancel", {"request": call.id}) == {}
    assert await worker.is_idle()


async def test_what_waits_can_be_cancelled(folder: Path) -> None:
    async with open_worker(folder, "--kv-tokens", "512") as worker:
        calls = [worker.child.begin("generate", payload_of([5, n], **ENDLESS)) for n in range(9, 90)]
        for call in reversed(calls):
            await worker.child.call("cancel", {"request": call.id})
        assert {(await call.reply)["finish_reason"] for call in calls} == {"cancelled"}
        assert await worker.is_idle()


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"prompt": np.ones(512, np.int32)}, "PromptTooLong", "512 tokens"),
        ({"grammar": {"kind": "lark", "value": "begin: /a/"}}, "InvalidGrammar", "start"),
    ],
)
@on_the_shared_loop
async def test_what_cannot_be_answered_is_refused_and_others_go_on(
    worker: Worker, changes: dict[str, Any], kind: str, message: str
) -> None:
    other = worker.child.begin("generate", payload_of([5, 6], 30))
    with pytest.raises(CallFailed, match=message) as failure:
        await worker.child.call("generate", payload_of([1]) | changes)
    assert failure.value.kind == kind
    assert (await other.reply)["completion_tokens"] == 30


@on_the_shared_loop
async def test_answers_may_follow_a_grammar(worker: Worker) -> None:
    grammar = {"kind": "lark", "value": 'start: "the river" | "the fox"'}
    tokens, reply = await worker.generate([9, 8], grammar=grammar, speculate=True, max_tokens=60)
    assert reply["finish_reason"] == "stop"
    assert len(tokens) in {len("the river"), len("the fox")}
    assert reply["accepted_tokens"] > 0


async def test_other_weights_than_expected_are_not_loaded(folder: Path) -> None:
    arguments = ["--folder", str(folder), "--sha256", "0" * 64]
    async with open_child(MODULE, arguments) as child:
        with pytest.raises(CallFailed, match="not the expected ones") as failure:
            await child.call("load", {})
        assert failure.value.kind == "ModelLoadError"
        with pytest.raises(CallFailed, match="nothing is loaded"):
            await child.call("generate", payload_of([1]))


async def test_a_killed_worker_fails_everything_at_once(folder: Path) -> None:
    async with open_worker(folder) as worker:
        calls = [worker.child.begin("generate", payload_of([5, n], **ENDLESS)) for n in range(5)]
        await worker.next_event()
        os.kill(worker.child.pid, signal.SIGKILL)
        outcomes = await asyncio.gather(*(call.reply for call in calls), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ChildDied] * 5


async def test_a_worker_leaves_by_itself_when_its_service_hangs_up_in_a_step(folder: Path) -> None:
    async with open_worker(folder, grace_s=60) as worker:
        call = worker.child.begin("generate", payload_of([5, 6], **ENDLESS))
        await worker.next_event()
    with pytest.raises(ChildDied):
        await call.reply
    assert worker.child.exit_code == 0
