"""One request on its worker: as many answers as were asked for, from their first tokens to their ends.

Invariant: whoever leaves, at whatever moment, leaves no answer running.
"""

import asyncio
import secrets
import string
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from embedd.generation.choice import AnswerForm, Choice
from embedd.generation.metrics import RequestTimes
from embedd.generation.worker import Ended, GenerationWorker, Tokens, Told
from embedd.generators import Delta, Usage

_SEEDS = 2**63
_ID_LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Plan:
    """What the worker is asked, one ``payload`` for each choice, and how its answers are read."""

    payload: Mapping[str, Any]
    n: int
    form: AnswerForm

    def payloads(self) -> Iterator[Mapping[str, Any]]:
        """The choices differ by their seeds alone."""
        sampling = self.payload["sampling"]
        for number in range(self.n):
            seed = None if sampling["seed"] is None else (sampling["seed"] + number) % _SEEDS
            yield {**self.payload, "sampling": {**sampling, "seed": seed}}


class Run:
    """Owns the answers between ``begin`` and ``end``."""

    def __init__(self, plan: Plan, worker: GenerationWorker, times: RequestTimes) -> None:
        self._plan = plan
        self._worker = worker
        self._times = times
        self._choices = [Choice(number, plan.form, _call_ids(plan.form)) for number in range(plan.n)]
        self._ids: dict[int, int] = {}  # of the answers under way, by choice
        self._ends: list[Ended] = []
        # Unbounded, but an answer has at most as many pieces as tokens, and those are bounded.
        self._told: asyncio.Queue[tuple[int, Told]] = asyncio.Queue()

    def begin(self) -> None:
        """Raises ``WorkerDied`` if the worker is dead by now."""
        for number, payload in enumerate(self._plan.payloads()):
            self._ids[number] = self._worker.begin(payload, partial(self._hear, number))

    def end(self) -> None:
        """Cancels what is under way."""
        for id in self._ids.values():
            self._worker.cancel(id)
            self._times.ended("cancelled")
        self._ids.clear()

    async def events(self) -> AsyncGenerator[Delta | Usage, None]:
        """All pieces of all choices as they come, and what it took.

        Raises:
            InvalidInput: the worker does not take the request.
            WorkerDied: it was lost.
        """
        while self._ids:
            number, told = await self._next()
            if isinstance(told, Exception):
                self._ids.pop(number, None)
                self._times.ended("error")
                raise told
            if delta := self._read(number, told):
                yield delta
        usage = self._usage()
        self._times.answered(usage)
        yield usage

    def _hear(self, number: int, told: Told) -> None:
        self._told.put_nowait((number, told))

    async def _next(self) -> tuple[int, Told]:
        while self._told.empty():
            try:
                async with asyncio.timeout(self._worker.check()):
                    return await self._told.get()
            except TimeoutError:
                continue  # its worker may have spoken to others
        return self._told.get_nowait()

    def _read(self, number: int, told: Tokens | Ended) -> Delta | None:
        choice = self._choices[number]
        stopped = choice.stopped
        if isinstance(told, Ended):
            del self._ids[number]
            self._ends.append(told)
            return None if stopped else self._finish(choice, "length" if told.reason == "length" else "stop")
        if stopped:
            return None
        self._times.tokens(number, len(told.ids))
        delta = choice.add(told.ids, told.logprobs)
        return self._stop(number, delta) if choice.stopped else delta

    def _stop(self, number: int, said: Delta | None) -> Delta:
        """The choice has a stop string: its worker need not go on, and tells what it took."""
        self._worker.interrupt(self._ids[number])
        last = self._finish(self._choices[number], "stop")
        if said is None:
            return last
        return Delta(
            text=said.text + last.text,
            choice=number,
            logprobs=said.logprobs + last.logprobs,
            tool_calls=said.tool_calls + last.tool_calls,
            finish_reason=last.finish_reason,
        )

    def _finish(self, choice: Choice, reason: Any) -> Delta:
        delta = choice.finish(reason)
        self._times.ended(str(delta.finish_reason))
        return delta

    def _usage(self) -> Usage:
        """The prompt counts once, however many answers it has."""
        return Usage(
            prompt_tokens=len(self._plan.payload["prompt"]),
            completion_tokens=sum(choice.tokens for choice in self._choices),
            cached_tokens=max((end.cached for end in self._ends), default=0),
            accepted_tokens=sum(end.accepted for end in self._ends),
            rejected_tokens=sum(end.rejected for end in self._ends),
        )


def _call_ids(form: AnswerForm) -> Iterator[str]:
    """Nine letters where a template asks for them, as Mistral's do."""
    while True:
        nine = "".join(secrets.choice(_ID_LETTERS) for _ in range(9))
        yield nine if form.syntax is not None and form.syntax.listed else f"call_{nine}{secrets.token_hex(8)}"
