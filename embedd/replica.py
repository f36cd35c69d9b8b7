"""One loaded worker: the line of batches it has been handed, and the watch over the one that runs.

Knows frames' payloads and how long batches should take; neither requests nor lanes, nor what follows when a
worker is lost: ``embedd.pool`` starts another.

Invariants: a worker runs its batches one at a time, in the order of their places; only the batch at the head
of the line is on the clock, and nothing is watched while the line is empty; when a worker is lost every batch
of its line fails at once, and those that had not begun say so.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from embedd.batches import BatchLimits, Forward
from embedd.child import Child
from embedd.encoding import Encoding
from embedd.errors import BatchLost, CallFailed, ChildError, ChildTimedOut
from embedd.lanes import Lane
from embedd.pace import Pace
from embedd.places import Answer
from embedd.token_vectors import TokenDtype

SHORTEST_HANG_S = 5.0
"""No batch is called hung before this, however fast others were: the whole machine may have paused."""

STALLED_S = 4.0
"""A batch this old, and late, makes its worker count as stalled: before it is killed, in time to be seen."""

_LATE = 20.0
"""Times the expected duration that a batch may take before it is late."""

_LEAD = 0.5
_SHORTEST_LEAD_S = 0.02
"""The next batch is handed over when this part of the running one is left, or this time if that is more:
late enough that a person who comes meanwhile waits for little else, early enough for a busy event loop.
"""

_MEMORY_KIND = "OutOfMemory"


@dataclass(frozen=True, slots=True)
class WorkerCommand:
    """How a worker is started, and how long it and its batches may take.

    ``in_flight`` batches are handed to one worker at a time: the second waits in its socket. The device
    says what a batch may hold where ``max_batch_tokens`` is None.
    """

    name: str
    module: str
    args: tuple[str, ...]
    dim: int
    load_timeout_s: float
    batch_timeout_s: float
    in_flight: int = 2
    max_batch_tokens: int | None = None


@dataclass(eq=False, slots=True)
class Place:
    """A place in the line of ``replica`` for one batch of ``tokens``; it ``began`` once it was ``sent`` and
    the worker had nothing else before it.
    """

    replica: "Replica"
    tokens: int = 0
    lane: Lane = Lane.INTERACTIVE
    sent: bool = False
    began: float | None = None
    limit: asyncio.Timeout = field(default_factory=lambda: asyncio.timeout(None))


class Replica:
    """One loaded worker, which said ``hello`` of itself; ``pace`` outlives it."""

    def __init__(self, child: Child, hello: Mapping[str, Any], command: WorkerCommand, pace: Pace) -> None:
        self.forward: Forward = hello.get("forward", "padded")
        self.limits = BatchLimits.of_device(
            hello["device"], command.max_batch_tokens, hello.get("threads", 1)
        )
        self._loss: ChildError | None = None
        self._child = child
        self._command = command
        self._pace = pace
        self._line: list[Place] = []
        self._clock = asyncio.get_running_loop().time

    @property
    def alive(self) -> bool:
        return self._loss is None

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def tokens_per_s(self) -> float:
        return self._pace.tokens_per_s

    @property
    def takes_next_at(self) -> float:
        """When the next batch should be handed over: at once if it is idle, never while its line is full."""
        if not self._line:
            return -math.inf
        if len(self._line) >= self._command.in_flight:
            return math.inf
        head = self._line[0]
        begun = self._clock() if head.began is None else head.began
        expected_s = self._pace.expected_s(head.tokens)
        return begun + expected_s - max(_LEAD * expected_s, _SHORTEST_LEAD_S)

    @property
    def stalled_s(self) -> float:
        """The age of the running batch where it is too late for anybody to count on this worker, else 0."""
        head = self._line[0] if self._line else None
        if head is None or head.began is None:
            return 0.0
        age = self._clock() - head.began
        return age if age > max(STALLED_S, _LATE * self._pace.expected_s(head.tokens)) else 0.0

    def take_place(self) -> Place:
        """The last place in its line, to be given back with ``leave``."""
        place = Place(self)
        self._line.append(place)
        return place

    async def run(
        self, place: Place, inputs: Sequence[Encoding], token_dtype: TokenDtype | None = None
    ) -> Answer:
        """The model's answer to n inputs, with the vectors of all their tokens if ``token_dtype`` is given.

        Raises:
            CallFailed: they do not fit into the device's memory together.
            BatchLost: the worker died, hung, or failed in a way it should not; it is gone in any case.
        """
        try:
            async with place.limit:
                place.sent = True
                self._begin()
                reply = await self._child.call("run", _payload(inputs, token_dtype))
        except CallFailed as error:
            if error.kind == _MEMORY_KIND:
                raise
            raise self._lose(place, error) from error
        except ChildError as error:
            raise self._lose(place, error) from error
        except TimeoutError:
            raise self._lose(place, ChildTimedOut(self._child.name, self._patience_s(place))) from None
        assert place.began is not None
        self._pace.add(place.tokens, self._clock() - place.began)
        return _answer(reply, inputs, place.began)

    def leave(self, place: Place) -> None:
        self._line.remove(place)
        self._begin()

    def _begin(self) -> None:
        """Puts the batch at the head of the line on the clock."""
        if self.alive and self._line and self._line[0].sent and self._line[0].began is None:
            head = self._line[0]
            head.began = self._clock()
            head.limit.reschedule(head.began + self._patience_s(head))

    def _patience_s(self, place: Place) -> float:
        """How long a batch may run; the first one, which may compile kernels, as long as any."""
        longest = self._command.batch_timeout_s
        if not self._pace.measured:
            return longest
        return min(longest, max(SHORTEST_HANG_S, _LATE * self._pace.expected_s(place.tokens)))

    def _lose(self, place: Place, error: ChildError) -> BatchLost:
        """Gives the worker up: after a CUDA error, for one, only a new process is of use."""
        if self._loss is None:
            self._loss = error
            self._child.kill()
            for other in self._line:
                if other is not place and other.sent:
                    other.limit.reschedule(self._clock())  # a process that cannot die would answer nobody
        return BatchLost(str(self._loss), began=place.began is not None)


def _payload(inputs: Sequence[Encoding], token_dtype: TokenDtype | None) -> Mapping[str, Any]:
    return {
        "ids": np.concatenate([one.ids for one in inputs]),
        "lengths": [len(one.ids) for one in inputs],
        "seconds": [one.second for one in inputs],
        "token_rows": list(range(len(inputs))) if token_dtype else [],
        "token_dtype": token_dtype or "float32",
    }


def _answer(reply: Mapping[str, Any], inputs: Sequence[Encoding], began: float) -> Answer:
    tokens: Sequence[npt.NDArray[Any]] = ()
    if "tokens" in reply:
        tokens = np.split(reply["tokens"], np.cumsum([len(one.ids) for one in inputs])[:-1])
    return Answer(reply["rows"], frozenset(reply["bad"]), tokens, began, reply["seconds"])
