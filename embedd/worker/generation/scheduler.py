"""Who computes what in the next step.

Running answers go first, one row each and their drafts; prompts fill up what the step has room for, oldest
first, in parts where they are long, so that nobody's next token waits for somebody's prompt. Who waits is let
in by arrival as soon as there are pages for all it has so far. When pages run out, the newest gives back its
own and computes them again later: the oldest always gets on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from embedd.worker.generation.pace import Pace
from embedd.worker.generation.pages import ROOT, PagePool
from embedd.worker.generation.requests import Request, Work

_STALL = 1.8
"""How many times as long as without them a step may take that computes prompts beside as many answers."""
_FEWEST = 8
"""Rows of prompts in every step: they get on, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """``max_batch_tokens``: rows of a step; ``max_running``: requests that have pages."""

    max_batch_tokens: int
    max_running: int


class Scheduler:
    """The requests, in order of arrival, and the pages they hold."""

    def __init__(self, pool: PagePool, pace: Pace, limits: Limits) -> None:
        self.pool = pool
        self.running: list[Request] = []
        self.waiting: list[Request] = []
        self.preempted = 0
        self._pace = pace
        self._limits = limits

    @property
    def decoding(self) -> Sequence[Request]:
        return [request for request in self.running if request.decodes]

    def add(self, request: Request) -> None:
        self.waiting.append(request)

    def remove(self, request: Request) -> None:
        """Lets go of a request that has ended, and of its pages."""
        if request in self.running:
            self.running.remove(request)
            self.pool.give_back(request.pages)
            request.pages = []
        else:
            self.waiting.remove(request)

    def plan(self, drafts: Mapping[int, Sequence[int]]) -> list[Work]:
        """The work of the next step; empty only if there are no requests."""
        plan = self._plan_answers(drafts)
        room = self._room_beside(sum(work.rows for work in plan), answering=len(plan))
        for request in [one for one in self.running if not one.decodes]:
            room -= self._plan_prompt(plan, request, room)
        while room > 0 and (admitted := self._admit()) is not None:
            room -= self._plan_prompt(plan, admitted, room)
        return plan

    def _plan_answers(self, drafts: Mapping[int, Sequence[int]]) -> list[Work]:
        plan = []
        for request in self.decoding:
            if request not in self.running:
                continue  # it gave its pages to an older one
            guessed = drafts.get(request.id, ())
            if not self._grow(request, len(request.tokens) + len(guessed)):
                guessed = ()
                if not self._make_room(request):
                    continue
            plan.append(Work(request, [request.tokens[-1], *guessed], guessed, 1 + len(guessed)))
        return plan

    def _plan_prompt(self, plan: list[Work], request: Request, room: int) -> int:
        """Adds as much of a prompt as there is room for; returns the rows."""
        count = min(request.pending, room)
        if count > 0:
            part = request.tokens[request.computed : request.computed + count]
            plan.append(Work(request, part, (), int(count == request.pending)))
        return max(count, 0)

    def _room_beside(self, rows: int, *, answering: int) -> int:
        """How many rows of prompts the step may have besides ``rows`` of answers.

        The more wait for their first token, to those who wait for their next one, the more.
        """
        most = self._limits.max_batch_tokens
        if rows == 0:
            return most
        behind = len(self.waiting) + len(self.running) - answering
        stall = _STALL * max(1.0, behind / answering)
        within = self._pace.rows_within(stall * self._pace.seconds(rows), most)
        return max(_FEWEST, within - rows)

    def _admit(self) -> Request | None:
        """The next one that is let in, its pages taken; None if nobody can be."""
        if len(self.running) >= self._limits.max_running:
            return None
        for request in self.waiting:
            shared, content = self.pool.match(request.tokens)
            if self._will_be_known(request, len(shared)):
                continue
            self.pool.hold(shared)
            if not self._begin(request, shared):
                self.pool.give_back(shared)
                return None
            request.content = content
            return request
        return None

    def _begin(self, request: Request, shared: list[int]) -> bool:
        """Takes the rest of its pages and lets it run, unless that left none for the running ones to grow."""
        needed = self._pages_for(len(request.tokens)) - len(shared)
        taken = self.pool.take(needed) if needed + len(self.running) <= self.pool.available else None
        if taken is None:
            return False
        self.waiting.remove(request)
        self.running = sorted([*self.running, request], key=lambda one: one.arrival)
        request.pages = [*shared, *taken]
        request.published = len(shared)
        request.computed = len(shared) * self.pool.size
        if request.cached_tokens is None:
            request.cached_tokens = request.computed
        return True

    def _will_be_known(self, request: Request, shared: int) -> bool:
        """Whether somebody is about to compute the page that it would have to compute first."""
        end = (shared + 1) * self.pool.size
        return end < len(request.tokens) and any(
            other.computed < end < len(other.tokens) and other.tokens[:end] == request.tokens[:end]
            for other in self.running
        )

    def _make_room(self, request: Request) -> bool:
        """Finds a page for the next token at the cost of the newest; False if that was the request itself."""
        while not self._grow(request, len(request.tokens)):
            newest = self.running[-1]
            self._preempt(newest)
            if newest is request:
                return False
        return True

    def _preempt(self, request: Request) -> None:
        self.running.remove(request)
        self.pool.give_back(request.pages)
        request.pages, request.computed, request.published, request.content = [], 0, 0, ROOT
        self.waiting = sorted([request, *self.waiting], key=lambda one: one.arrival)
        self.preempted += 1

    def _grow(self, request: Request, tokens: int) -> bool:
        """Gives a request pages for so many tokens, if there are enough."""
        taken = self.pool.take(max(0, self._pages_for(tokens) - len(request.pages)))
        if taken is not None:
            request.pages += taken
        return taken is not None

    def _pages_for(self, tokens: int) -> int:
        return -(-tokens // self.pool.size)
