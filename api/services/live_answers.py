"""Answers that outlive the connection on which they were asked for, for a while.

Each is written by a task of its own into a list that whoever follows reads, from any place on. When nobody
follows any more it goes on for a time of grace, in which somebody may take it up again; then it is stopped.
One that has ended is kept for as long. Knows neither what an answer is made of nor how it travels.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from contextvars import Context
from typing import Final

from api.errors import Conflict, NotFound
from embedd.broadcast import Broadcast
from embedd.errors import ModelUnavailable, Overloaded
from embedd.ownership import owned_tasks

MOST_ANSWERS: Final = 1_000
"""Written at once over all connections."""
MOST_KEPT: Final = 2 * MOST_ANSWERS
"""Those that have ended included."""


class LiveAnswer:
    """The pieces of one answer so far; made by `LiveAnswers.begin`."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.pieces: list[bytes] = []
        self.ended = False
        self.stopped = False
        self.error: Exception | None = None
        self._follower: object = None
        self._changed = Broadcast()

    @property
    def is_followed(self) -> bool:
        return self._follower is not None

    async def follow(self, after: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """The numbers and pieces behind number ``after``, those that are still to come too, until the answer
        ends or somebody else follows it.
        """
        me = self._follower = object()
        self._changed.send()
        place = max(0, after + 1)
        try:
            while self._follower is me:
                while place < len(self.pieces) and self._follower is me:
                    yield place, self.pieces[place]
                    place += 1
                if self.ended or self._follower is not me:
                    break
                await self._changed.received()
        finally:
            if self._follower is me:
                self._follower = None

    def add(self, piece: bytes) -> None:
        self.pieces.append(piece)
        self._changed.send()

    def end(self, *, stopped: bool) -> None:
        self.ended, self.stopped = True, stopped
        self._changed.send()


class LiveAnswers:
    """All answers that somebody follows or may take up again; made by `open_live_answers`."""

    def __init__(self, group: asyncio.TaskGroup, grace_s: float) -> None:
        self.closing = asyncio.Event()
        self._group = group
        self._grace_s = grace_s
        self._answers: dict[str, LiveAnswer] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def begin(self, id: str, pieces: AsyncGenerator[bytes, None]) -> LiveAnswer:
        """The answer that ``pieces`` are, which is written from now on.

        Raises:
            Conflict: one of this id is being written.
            Overloaded: too many are written.
            ModelUnavailable: the service is about to end.
        """
        if self.closing.is_set():
            raise ModelUnavailable("the service is shutting down", retry_after_s=5.0)
        if id in self._tasks:
            raise Conflict(f"an answer has the id {id!r}: choose another one", param="id", code="id_in_use")
        if len(self._tasks) >= MOST_ANSWERS:
            raise Overloaded(
                f"{len(self._tasks)} answers are being written, the limit is {MOST_ANSWERS}",
                retry_after_s=1.0,
            )
        self._keep(id)  # the timer of one of the same id that has ended
        self._make_room()
        answer = self._answers[id] = LiveAnswer(id)
        # Of nobody's logging context: it may outlive the request.
        task = self._tasks[id] = self._group.create_task(self._write(answer, pieces), context=Context())
        task.add_done_callback(lambda task: self._end(answer, task))
        return answer

    def find(self, id: str) -> LiveAnswer:
        """The answer of this id, which somebody wants to follow.

        Raises:
            NotFound: there is none, or it was given up.
        """
        if id not in self._answers:
            raise NotFound(f"there is no answer {id!r} to take up", param="id", code="answer_not_found")
        self._keep(id)
        return self._answers[id]

    def leave(self, answer: LiveAnswer) -> None:
        """Somebody follows it no more; if nobody does, it is given up after the time of grace."""
        if self._answers.get(answer.id) is answer and not answer.is_followed:
            self._keep(answer.id)
            timer = asyncio.get_running_loop().call_later(self._grace_s, self._give_up, answer.id)
            self._timers[answer.id] = timer

    def stop(self, answer: LiveAnswer) -> None:
        """Write no more of it; whoever follows hears of its end when it has been kept as far as it came."""
        if (task := self._tasks.get(answer.id)) is not None:
            task.cancel()

    def close(self) -> None:
        """The service is about to end: no new answers."""
        self.closing.set()

    def abandon(self) -> None:
        """Stop all of them, and forget those that have ended."""
        self.close()
        for id in list(self._timers):
            self._keep(id)
        self._answers.clear()
        for task in self._tasks.values():
            task.cancel()

    async def _write(self, answer: LiveAnswer, pieces: AsyncGenerator[bytes, None]) -> None:
        try:
            async with aclosing(pieces) as source:
                async for piece in source:
                    answer.add(piece)
        except Exception as error:  # noqa: BLE001 - whoever follows hears of it, whatever it is
            answer.error = error

    def _end(self, answer: LiveAnswer, task: asyncio.Task[None]) -> None:
        del self._tasks[answer.id]
        answer.end(stopped=task.cancelled())
        self.leave(answer)

    def _keep(self, id: str) -> None:
        if (timer := self._timers.pop(id, None)) is not None:
            timer.cancel()

    def _make_room(self) -> None:
        """Forget the answer that ended first, where many are kept for those who may come back."""
        ended = (id for id in self._timers if id not in self._tasks)
        if len(self._answers) >= MOST_KEPT and (oldest := next(ended, None)) is not None:
            self._give_up(oldest)

    def _give_up(self, id: str) -> None:
        self._keep(id)
        answer = self._answers.pop(id)
        self.stop(answer)


@asynccontextmanager
async def open_live_answers(grace_s: float) -> AsyncIterator[LiveAnswers]:
    """Answers may be written as long as the block runs; then they are stopped."""
    async with owned_tasks() as group:
        answers = LiveAnswers(group, grace_s)
        try:
            yield answers
        finally:
            answers.abandon()
