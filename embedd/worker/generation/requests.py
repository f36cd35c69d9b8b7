"""A request, from what the service asks for to what has become of it so far."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from embedd.worker.generation.grammar import Grammar
from embedd.worker.generation.lookup import Lookup
from embedd.worker.generation.pages import ROOT

_COLDEST = 1e-5
"""Temperatures below are taken for 0: divided by them, logits leave float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are chosen; names, ranges and defaults are OpenAI's and vLLM's. ``top_k`` 0 means all."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)

    @property
    def greedy(self) -> bool:
        return self.temperature < _COLDEST

    @property
    def cuts(self) -> tuple[int, float, float]:
        """What cuts the distribution's tail."""
        return self.top_k, self.top_p, self.min_p

    @property
    def penalises(self) -> bool:
        return bool(self.presence_penalty or self.frequency_penalty or self.repetition_penalty != 1.0)


@dataclass(eq=False, slots=True, kw_only=True)
class Request:
    """One answer in the making. ``tokens`` are the prompt's and the answer's; keys and values of the first
    ``computed`` of them are in ``pages``.

    ``content`` stands for the first ``published`` pages, see ``PagePool``. ``worth`` is how likely a drafted
    token is believed to be accepted.
    """

    id: int
    arrival: int
    prompt_tokens: int
    max_tokens: int
    stop_ids: frozenset[int]
    sampling: Sampling
    logprobs: int | None
    grammar: Grammar | None
    speculate: bool
    tokens: list[int]
    random: np.random.Generator
    uniforms: list[float] = field(default_factory=list)
    computed: int = 0
    pages: list[int] = field(default_factory=list)
    content: int = ROOT
    published: int = 0
    cached_tokens: int | None = None
    counts: Counter[int] = field(default_factory=Counter)
    lookup: Lookup = field(default_factory=Lookup)
    worth: float = 0.5
    accepted: int = 0
    rejected: int = 0
    finish_reason: str | None = None

    @classmethod
    def parse(
        cls, id: int, arrival: int, payload: Mapping[str, Any], *, context: int, grammar: Grammar | None
    ) -> "Request":
        """A request as a frame carries it; its answer is cut where the context ends."""
        prompt = payload["prompt"].tolist()
        sampling = Sampling(**payload["sampling"])
        return cls(
            id=id,
            arrival=arrival,
            prompt_tokens=len(prompt),
            max_tokens=min(payload["max_tokens"], context - len(prompt)),
            stop_ids=frozenset(payload["stop_ids"]),
            sampling=sampling,
            logprobs=payload["logprobs"],
            grammar=grammar,
            speculate=payload["speculate"],
            tokens=prompt,
            random=np.random.Generator(np.random.Philox(sampling.seed)),
        )

    @property
    def pending(self) -> int:
        """Tokens that have to be computed before the next one can be chosen."""
        return len(self.tokens) - self.computed

    @property
    def answered(self) -> int:
        return len(self.tokens) - self.prompt_tokens

    @property
    def decodes(self) -> bool:
        return self.pending == 1 and self.answered > 0

    def uniform(self, ahead: int) -> float:
        """The number in [0, 1) that chooses the ``ahead``-th next token, always the same."""
        while len(self.uniforms) <= ahead:
            self.uniforms.append(self.random.random())
        return self.uniforms[ahead]

    def append(self, token: int) -> bool:
        """Takes the chosen token; returns whether it is part of the answer."""
        if self.uniforms:
            del self.uniforms[0]
        if self.grammar is not None:
            self.grammar.accept(token)
        if token in self.stop_ids:
            self.finish_reason = "stop"
            return False
        self.tokens.append(token)
        self.counts[token] += 1
        if self.grammar is not None and self.grammar.done:
            self.finish_reason = "stop"
        elif self.answered >= self.max_tokens:
            self.finish_reason = "length"
        return True

    def result(self) -> dict[str, Any]:
        """The reply of a request that has ended."""
        return {
            "finish_reason": self.finish_reason,
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens or 0,
            "completion_tokens": self.answered,
            "accepted_tokens": self.accepted,
            "rejected_tokens": self.rejected,
        }


@dataclass(frozen=True, slots=True)
class Work:
    """What one request has computed in a step: ``tokens``, of which the last ``len(drafts)`` are guesses.

    ``sampled`` of its rows are read, those of the last tokens: none while a prompt has more to come.
    """

    request: Request
    tokens: Sequence[int]
    drafts: Sequence[int]
    sampled: int

    @property
    def rows(self) -> int:
        return len(self.tokens)
