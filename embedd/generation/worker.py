"""One loaded generation worker: the requests it has, and what it says of them.

Knows the frames and whom to tell; neither texts nor what a lost worker is replaced by. The frames, in the
form of ``embedd.frames``, are the whole border between the service and ``embedd.worker.generation``:

* ``load {}`` -> ``{device, dtype, threads, vocab, context, page_tokens, pages, weights_bytes, max_running}``
* ``generate {prompt (int32), max_tokens, stop_ids, sampling, logprobs, grammar, speculate}`` ->
  ``{finish_reason, prompt_tokens, cached_tokens, completion_tokens, accepted_tokens, rejected_tokens}``,
  where the reason is stop, length or cancelled; refused before its first token with ``PromptTooLong``,
  ``InvalidGrammar`` or ``TooLarge``
* ``cancel {request}`` -> ``{}``: that request ends as cancelled, its pages are free before the next step
* unasked, once a step: ``{event: {tokens: [[id, [token, ...], logprobs], ...], running, waiting,
  free_pages, cached_pages, preempted, seconds, decode_tokens, prefill_tokens}}``; those of a request come
  before its reply

Invariants: every request is told its end exactly once, by the worker's reply or by its loss, and nothing
after; a worker that is silent for too long while it has requests is killed.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from embedd.child import Child
from embedd.errors import CallFailed, ChildDied, InvalidGrammar, InvalidInput, PromptTooLong, WorkerDied
from embedd.pace import Pace

_REFUSALS: Mapping[str, type[InvalidInput]] = {
    "PromptTooLong": PromptTooLong,
    "InvalidGrammar": InvalidGrammar,
    "TooLarge": InvalidInput,
}

_NOTHING: Mapping[str, Any] = {
    "running": 0,
    "waiting": 0,
    "free_pages": None,
    "preempted": 0,
}


@dataclass(frozen=True, slots=True)
class Tokens:
    """The next tokens of an answer; ``logprobs`` are the contract's, if they were asked for."""

    ids: Sequence[int]
    logprobs: Sequence[Any] | None


@dataclass(frozen=True, slots=True)
class Ended:
    """An answer's end, and what it took in tokens."""

    reason: Literal["stop", "length", "cancelled"]
    prompt: int
    cached: int
    completion: int
    accepted: int
    rejected: int


Told = Tokens | Ended | Exception
Tell = Callable[[Told], None]
"""Told each piece of one answer and its end, on the loop's thread; an exception is an end, too."""


class GenerationWorker:
    """The worker that said ``hello``; ``reserved`` tokens of its cache are promised to requests."""

    def __init__(self, child: Child, hello: Mapping[str, Any], patience_s: float, restart_s: float) -> None:
        self.number_of_pages = int(hello["pages"])
        self.capacity = self.number_of_pages * int(hello["page_tokens"])
        self.reserved = 0
        self.pace = Pace()
        self._child = child
        self._patience_s = patience_s
        self._restart_s = restart_s
        self._listeners: dict[int, Tell] = {}
        self._state: Mapping[str, Any] = _NOTHING
        self._given_up = ""
        self._clock = asyncio.get_running_loop().time
        self._heard_at = self._clock()

    @property
    def alive(self) -> bool:
        return not self._given_up and not self._child.closed.is_set()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def running(self) -> int:
        return int(self._state["running"]) if self._listeners else 0

    @property
    def waiting(self) -> int:
        return int(self._state["waiting"]) if self._listeners else 0

    @property
    def preempted(self) -> int:
        return int(self._state["preempted"])

    @property
    def used_pages(self) -> int:
        """Pages that answers under way hold."""
        free = self._state["free_pages"]
        return 0 if free is None or not self._listeners else self.number_of_pages - int(free)

    def begin(self, payload: Mapping[str, Any], tell: Tell) -> int:
        """Asks for an answer and gives its id.

        Raises:
            WorkerDied: the worker is dead already.
        """
        if not self._listeners:
            self._heard_at = self._clock()
        try:
            call = self._child.begin("generate", payload)
        except ChildDied as error:
            raise WorkerDied(str(error), self._restart_s) from error
        self._listeners[call.id] = tell
        call.reply.add_done_callback(partial(self._end, call.id))
        return call.id

    def interrupt(self, id: int) -> None:
        """Ends the answer before the worker's next step, which frees what it holds."""
        if id in self._listeners:
            self._child.tell("cancel", {"request": id})

    def cancel(self, id: int) -> None:
        """As ``interrupt``; and its listener hears no more."""
        self.interrupt(id)
        self._listeners.pop(id, None)

    def hear(self, event: Mapping[str, Any]) -> None:
        """A step's event."""
        self._heard_at = self._clock()
        self._state = event
        self.pace.add(event["decode_tokens"] + event["prefill_tokens"], event["seconds"])
        for id, ids, logprobs in event["tokens"]:
            if tell := self._listeners.get(id):
                tell(Tokens(ids, logprobs))

    def check(self) -> float:
        """Seconds until silence would be too long; kills a worker whose silence is."""
        left = self._heard_at + self._patience_s - self._clock()
        if left <= 0 and not self._given_up:
            self._given_up = f"{self._child.name} was silent for {self._patience_s:g} s and was killed"
            self._child.kill()
        return max(left, 0.01)

    def _end(self, id: int, reply: "asyncio.Future[Mapping[str, Any]]") -> None:
        error = reply.exception() if not reply.cancelled() else None
        tell = self._listeners.pop(id, None)
        if tell is None:
            return
        tell(self._refusal(error) if error is not None else _ended(reply.result()))

    def _refusal(self, error: BaseException) -> Exception:
        if isinstance(error, CallFailed) and error.kind in _REFUSALS:
            return _REFUSALS[error.kind](str(error))
        return WorkerDied(self._given_up or str(error), self._restart_s)


def _ended(reply: Mapping[str, Any]) -> Ended:
    return Ended(
        reason=reply["finish_reason"],
        prompt=reply["prompt_tokens"],
        cached=reply["cached_tokens"],
        completion=reply["completion_tokens"],
        accepted=reply["accepted_tokens"],
        rejected=reply["rejected_tokens"],
    )
