"""A language model of this service: a generator over worker processes.

Puts together the files, the reader of prompts, the pool and the run. Knows no HTTP and no torch.

Invariants: what cannot be answered is refused before a worker hears of it, with the numbers; closing the
iterator frees what the answer holds within one step.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from prometheus_client import CollectorRegistry

from embedd.conversation import Continuation, Prompt
from embedd.errors import InvalidInput, ModelUnavailable, PromptTooLong
from embedd.generation.choice import AnswerForm
from embedd.generation.folder import LanguageFiles, fake_language_files, read_language_files
from embedd.generation.grammar import grammar_of
from embedd.generation.launch import GenerationLimits, generation_commands
from embedd.generation.metrics import GenerationMetrics, GeneratorMetrics
from embedd.generation.pool import Demand, GenerationPool, open_generation_pool
from embedd.generation.reading import Ids, PromptReader, open_prompt_reader
from embedd.generation.run import Plan, Run
from embedd.generation.tool_calls import syntax_of
from embedd.generation.vocabulary import Vocabulary
from embedd.generators import Delta, GenerationSettings, Usage
from embedd.grounding import cite
from embedd.pool import ModelStatus
from embedd.sampling import Sampling
from embedd.sources import resolve
from embedd.specs import GeneratorCard, ModelSpec

_TYPICAL_ANSWER = 512
"""Tokens that an answer without a limit is expected to have; workers make room where it has more."""

_HEAD_TOKENS = 64
"""Prompts that begin alike for so long go to the same worker, if it can be helped."""

_NEUTRAL: Mapping[str, Any] = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "seed": None,
    "logit_bias": {},
}


class LocalGenerator:
    """Made by ``open_local_generator``."""

    def __init__(
        self,
        card: GeneratorCard,
        files: LanguageFiles,
        *,
        vocabulary: Vocabulary,
        reader: PromptReader,
        pool: GenerationPool,
        limits: GenerationLimits,
        metrics: GeneratorMetrics,
    ) -> None:
        self.card = card
        self._files = files
        self._vocabulary = vocabulary
        self._reader = reader
        self._pool = pool
        self._limits = limits
        self._metrics = metrics
        self._syntax = syntax_of(files.template.source) if files.template is not None else None

    @property
    def status(self) -> ModelStatus:
        return self._pool.status

    @property
    def device(self) -> str:
        """Where the model runs; empty before it was loaded for the first time."""
        return str(self._pool.hello.get("device", ""))

    @property
    def dtype(self) -> str:
        """What the model computes in; empty before it was loaded for the first time."""
        return str(self._pool.hello.get("dtype", ""))

    @property
    def context(self) -> int | None:
        """Most tokens of a prompt and its answer; None before it was loaded for the first time."""
        return int(self._pool.hello["context"]) if self._pool.hello else None

    @property
    def worker_pids(self) -> list[int]:
        """The process ids of the loaded workers."""
        return self._pool.pids

    async def wait_ready(self) -> None:
        """Returns when a worker is loaded.

        Raises:
            ModelUnavailable: none will load; the message says why.
        """
        await self._pool.wait_ready()

    async def generate(
        self, prompt: Prompt | Continuation, settings: GenerationSettings
    ) -> AsyncGenerator[Delta | Usage, None]:
        """As ``Generator`` says. Everything about the model itself is checked, whatever it is asked."""
        times = self._metrics.request()
        self._pool.admit()
        await self._loaded()
        plan = await self._plan(prompt, settings)
        with self._pool.reserve(_demand(plan)) as worker:
            run = Run(plan, worker, times)
            try:
                run.begin()
                if plan.payload["grammar"] is None:
                    yield Delta()  # nothing is left that the worker might refuse
                passages = None if isinstance(prompt, Continuation) else prompt.passages
                events = run.events() if passages is None else cite(run.events(), passages)
                async with aclosing(events):
                    async for event in events:
                        yield event
            finally:
                run.end()

    async def _loaded(self) -> None:
        try:
            async with asyncio.timeout(self._limits.wait_s):
                await self._pool.wait_ready()
        except TimeoutError:
            raise ModelUnavailable(
                f"model {self.card.name!r} is still loading after {self._limits.wait_s:g} s",
                self._limits.wait_s,
            ) from None

    async def _plan(self, prompt: Prompt | Continuation, settings: GenerationSettings) -> Plan:
        """What the worker is asked.

        Raises:
            PromptTooLong: prompt and answer do not fit into the context.
            InvalidInput: the settings are not for this model.
        """
        context = self.context
        assert context is not None, "a worker is loaded"
        grammar = grammar_of(settings.response_format, settings.tools, self._syntax, self._vocabulary)
        ids = await self._reader.read(prompt, settings.tools.active, context)
        payload = {
            "prompt": ids,
            "max_tokens": _room(ids, settings.max_tokens, self._pool.hello),
            "stop_ids": list(self._files.stop_ids),
            "sampling": self._sampling(settings.sampling),
            "logprobs": settings.logprobs,
            "grammar": grammar,
            "speculate": self._limits.speculate,
        }
        syntax = self._syntax if settings.tools.active else None
        form = AnswerForm(self._vocabulary, settings.stop, syntax, settings.tools.parallel)
        return Plan(payload, settings.n, form)

    def _sampling(self, asked: Sampling) -> Mapping[str, Any]:
        """The request's word, else the model's own, else none."""
        unknown = [id for id in asked.logit_bias or {} if not 0 <= id < self._vocabulary.size]
        if unknown:
            raise InvalidInput(
                f"logit_bias names the token {unknown[0]}; this model's are 0 to {self._vocabulary.size - 1}"
            )
        return {**_NEUTRAL, **self._files.defaults.given, **asked.given}


def _room(ids: Ids, asked: int | None, hello: Mapping[str, Any]) -> int:
    """The most tokens an answer may have: as many as were asked for, or as there is any room for."""
    context = int(hello["context"])
    if asked is not None and len(ids) + asked > context:
        raise PromptTooLong(
            f"the prompt has {len(ids)} tokens and the answer may have {asked}, together {len(ids) + asked}; "
            f"the model's context is {context}"
        )
    held = min(context, int(hello["pages"]) * int(hello["page_tokens"]))
    return max(1, held - len(ids)) if asked is None else asked


def _demand(plan: Plan) -> Demand:
    ids = plan.payload["prompt"]
    answer = min(plan.payload["max_tokens"], _TYPICAL_ANSWER)
    return Demand(len(ids) + plan.n * answer, ids[:_HEAD_TOKENS].tobytes())


@asynccontextmanager
async def open_local_generator(
    spec: ModelSpec,
    limits: GenerationLimits | None = None,
    *,
    metrics: GeneratorMetrics | None = None,
    worker_args: Sequence[str] = (),
) -> AsyncIterator[LocalGenerator]:
    """Starts the language model ``spec``; its workers load in the background, see ``status``.

    ``worker_args`` are further arguments of the worker; tests use them to slow the fake model down.

    Raises:
        ModelLoadError: the files are not there, cannot be fetched, or are no causal language model's.
    """
    limits = limits or GenerationLimits()
    metrics = metrics or GenerationMetrics(CollectorRegistry()).of(spec.name)
    weights = await asyncio.to_thread(resolve, spec)
    if spec.scheme == "fake":
        files = fake_language_files()
    else:
        files = await asyncio.to_thread(read_language_files, weights.folder, limits.template)
    vocabulary = await asyncio.to_thread(Vocabulary, files.tokenizer)
    commands = generation_commands(spec, weights, limits, worker_args)
    card = GeneratorCard(spec.name, spec.source, weights.revision, weights.sha256)
    async with (
        open_prompt_reader(files, vocabulary) as reader,
        open_generation_pool(commands, limits.max_waiting_tokens, metrics) as pool,
    ):
        yield LocalGenerator(
            card,
            files,
            vocabulary=vocabulary,
            reader=reader,
            pool=pool,
            limits=limits,
            metrics=metrics,
        )
