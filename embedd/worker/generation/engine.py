"""Continuous batching: requests come and go between steps, and every step computes for all of them at once.

Knows token ids, no texts. ``step`` is the architecture.

Invariant: a request that has ended holds no pages when ``step`` or ``cancel`` returns.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from embedd.worker.generation.batch import Batch, pack
from embedd.worker.generation.model import Model
from embedd.worker.generation.pace import Pace
from embedd.worker.generation.pages import PagePool
from embedd.worker.generation.requests import Request, Work
from embedd.worker.generation.sampling import Choice, LogProbs, choose
from embedd.worker.generation.scheduler import Limits, Scheduler
from embedd.worker.generation.speculation import Speculation, learn

_WARM_UP_ROWS = (1, 8, 32, 1, 8, 32)


class PromptTooLong(Exception):
    """No room for one token of an answer behind it."""


class NotFinite(Exception):
    """The model's answer to the request is not a number."""


@dataclass(slots=True)
class Report:
    """What a step brought: for each request that got any its ``tokens`` and their log-probabilities, those
    that have ``ended``, and figures for who watches.
    """

    seconds: float = 0.0
    decode_tokens: int = 0
    prefill_tokens: int = 0
    tokens: list[tuple[int, list[int], list[LogProbs | None] | None]] = field(default_factory=list)
    ended: list[Request] = field(default_factory=list)


class Engine:
    """The requests of one model. ``pages`` is how much they can remember together."""

    def __init__(self, model: Model, pages: int, limits: Limits) -> None:
        self._model = model
        self.context = min(model.context, pages * model.page_tokens)
        self.pool = PagePool(pages, model.page_tokens)
        self._pace = Pace()
        self._scheduler = Scheduler(self.pool, self._pace, limits)
        self._speculation = Speculation(self._pace)
        model.open_cache(pages)
        model.record_steps(self.context)
        self._warm_up()

    @property
    def busy(self) -> bool:
        return bool(self._scheduler.running or self._scheduler.waiting)

    def add(self, request: Request) -> None:
        """Lets a request wait for its turn.

        Raises:
            PromptTooLong: there is no room for an answer.
        """
        if request.prompt_tokens >= self.context:
            raise PromptTooLong(
                f"the prompt has {request.prompt_tokens} tokens; with at least one of the answer "
                f"{self.context} fit"
            )
        self._scheduler.add(request)

    def cancel(self, id: int) -> Request | None:
        """Ends a request and gives its pages back; None if there is none of that id."""
        everyone = [*self._scheduler.running, *self._scheduler.waiting]
        request = next((one for one in everyone if one.id == id), None)
        if request is not None:
            request.finish_reason = "cancelled"
            self._scheduler.remove(request)
        return request

    def step(self) -> Report:
        """One forward of the model over what every request needs next."""
        began = time.perf_counter()
        drafts = self._speculation.draft(self._scheduler.decoding)
        plan = self._scheduler.plan(drafts)
        logits = self._model.forward(pack(plan))
        choices = choose(plan, logits)
        return self._settle(plan, choices, began)

    def figures(self) -> dict[str, int]:
        """The state of the queue and of the pages, as the events have it."""
        return {
            "running": len(self._scheduler.running),
            "waiting": len(self._scheduler.waiting),
            "free_pages": self.pool.available,
            "cached_pages": self.pool.cached,
            "preempted": self._scheduler.preempted,
        }

    def check(self) -> None:
        """For tests: raises ``AssertionError`` if a page leaked."""
        self.pool.check([request.pages for request in self._scheduler.running])

    def _settle(self, plan: Sequence[Work], choices: Sequence[Sequence[Choice]], began: float) -> Report:
        report = Report()
        for work, chosen in zip(plan, choices, strict=True):
            report.decode_tokens += work.rows if work.request.decodes else 0
            report.prefill_tokens += 0 if work.request.decodes else work.rows
            answer = self._take(work, chosen)
            self._publish(work.request)
            if answer:
                logprobs = [choice.logprobs for choice in chosen[: len(answer)]]
                wanted = work.request.logprobs is not None
                report.tokens.append((work.request.id, answer, logprobs if wanted else None))
            if work.request.finish_reason is not None:
                self._scheduler.remove(work.request)
                report.ended.append(work.request)
        report.seconds = time.perf_counter() - began
        self._pace.record(sum(work.rows for work in plan), report.seconds)
        return report

    def _take(self, work: Work, chosen: Sequence[Choice]) -> list[int]:
        """What of the chosen tokens is the answer: up to the first that differs from its draft."""
        request, answer, accepted = work.request, list[int](), 0
        request.computed += work.rows - len(work.drafts)
        for ahead, choice in enumerate(chosen):
            if choice.token is None:
                request.finish_reason = "error"
                break
            if request.append(choice.token):
                answer.append(choice.token)
            if request.finish_reason or ahead == len(work.drafts) or work.drafts[ahead] != choice.token:
                break
            accepted += 1
        request.computed += accepted
        learn(request, len(work.drafts), accepted)
        return answer

    def _publish(self, request: Request) -> None:
        """Makes the pages known that have become full."""
        size = self.pool.size
        while (request.published + 1) * size <= request.computed:
            first = request.published * size
            page, tokens = request.pages[request.published], request.tokens[first : first + size]
            request.content = self.pool.publish(page, request.content, tokens)
            request.published += 1

    def _warm_up(self) -> None:
        """A few steps for nobody, so that the first plans know what rows cost."""
        for wanted in _WARM_UP_ROWS:
            rows = min(wanted, self.context)
            pages = list(range(-(-rows // self.pool.size)))
            began = time.perf_counter()
            self._model.forward(Batch.of([[0] * rows], [0], [pages], [1]))
            self._pace.record(rows, time.perf_counter() - began)


def describe(engine: Engine, model: Model, limits: Limits) -> dict[str, Any]:
    """The hello of a worker, but for its threads."""
    return {
        "device": str(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "vocab": model.vocab,
        "context": engine.context,
        "page_tokens": model.page_tokens,
        "pages": engine.pool.count,
        "weights_bytes": model.weights_bytes,
        "max_running": limits.max_running,
    }
