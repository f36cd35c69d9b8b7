"""A language model of this service: a generator over worker processes.

Puts together the files, the planner, the pool and the run. Knows no HTTP and no torch.

Invariants: the service does not wait for a model, whose weights may be many and far away; what cannot be
answered is refused before a worker hears of it; closing the iterator frees what the answer holds within one
step.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from embedd.conversation import Continuation, Prompt
from embedd.errors import EmbeddError, ModelLoadError, ModelUnavailable
from embedd.generation.folder import LanguageFiles, fake_language_files, read_language_files
from embedd.generation.launch import GenerationLimits, generation_commands
from embedd.generation.metrics import GenerationMetrics, GeneratorMetrics
from embedd.generation.planning import Planner, demand_of, open_planner
from embedd.generation.pool import GenerationPool, open_generation_pool
from embedd.generation.run import Run
from embedd.generators import Delta, GenerationSettings, Usage
from embedd.grounding import cite
from embedd.ownership import Users, beside
from embedd.pool import ModelStatus
from embedd.sources import resolve
from embedd.specs import GeneratorCard, ModelSpec, Weights

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Model:
    """What there is once the files are."""

    planner: Planner
    pool: GenerationPool


class LocalGenerator:
    """Made by ``open_local_generator``."""

    def __init__(self, spec: ModelSpec, limits: GenerationLimits, metrics: GeneratorMetrics) -> None:
        self.card = GeneratorCard(spec.name, spec.source)
        self._limits = limits
        self._metrics = metrics
        self._model: _Model | None = None
        self._failure = ""
        self._settled = asyncio.Event()  # there is a model, or there will be none
        self._users = Users()

    @property
    def status(self) -> ModelStatus:
        if self._failure:
            return ModelStatus("failed", self._failure)
        return ModelStatus("loading") if self._model is None else self._model.pool.status

    @property
    def device(self) -> str:
        """Where the model runs; empty before it was loaded for the first time."""
        return str(self._hello.get("device", ""))

    @property
    def dtype(self) -> str:
        """What the model computes in; empty before it was loaded for the first time."""
        return str(self._hello.get("dtype", ""))

    @property
    def context(self) -> int | None:
        """Most tokens of a prompt and its answer; None before it was loaded for the first time."""
        return int(self._hello["context"]) if self._hello else None

    @property
    def worker_pids(self) -> list[int]:
        """The process ids of the loaded workers."""
        return [] if self._model is None else self._model.pool.pids

    @property
    def running(self) -> int:
        """How many answers are being written."""
        return 0 if self._model is None else self._model.pool.running

    @property
    def waiting(self) -> int:
        """How many wait to be begun."""
        return 0 if self._model is None else self._model.pool.waiting

    @property
    def _hello(self) -> Mapping[str, Any]:
        return {} if self._model is None else self._model.pool.hello

    async def wait_ready(self) -> None:
        """Returns when a worker is loaded.

        Raises:
            ModelLoadError: the files are not there, cannot be fetched, or are no causal language model's.
            ModelUnavailable: no worker will load; the message says why.
        """
        await (await self._files_there()).pool.wait_ready()

    async def idle(self) -> None:
        """Returns when no answer is being written or waited for."""
        await self._users.gone()

    async def generate(
        self, prompt: Prompt | Continuation, settings: GenerationSettings
    ) -> AsyncGenerator[Delta | Usage, None]:
        """As ``Generator`` says.

        Raises:
            ModelLoadError: the model's files cannot be used.
        """
        times = self._metrics.request()
        model = await self._loaded()
        plan = await model.planner.plan(prompt, settings, model.pool.hello)
        with self._users.using(), model.pool.reserve(demand_of(plan)) as worker:
            run = Run(plan, worker, times)
            try:
                run.begin()
                if plan.payload["grammar"] is None:
                    yield Delta()  # nothing is left that the worker might refuse
                events = run.events()
                if isinstance(prompt, Prompt) and prompt.passages is not None:
                    verbatim = settings.response_format is not None
                    events = cite(
                        events, prompt.passages, invented=self._metrics.invented_citations, verbatim=verbatim
                    )
                async with aclosing(events):
                    async for event in events:
                        yield event
            finally:
                run.end()

    async def _loaded(self) -> _Model:
        """The model, once a worker has it and if there is room for more."""
        try:
            async with asyncio.timeout(self._limits.wait_s):
                model = await self._files_there()
                model.pool.admit()
                await model.pool.wait_ready()
                return model
        except TimeoutError:
            raise ModelUnavailable(
                f"model {self.card.name!r} is still loading after {self._limits.wait_s:g} s",
                self._limits.wait_s,
            ) from None

    async def _files_there(self) -> _Model:
        await self._settled.wait()
        if self._model is None:
            raise ModelLoadError(f"model {self.card.name!r} cannot be loaded: {self._failure}")
        return self._model

    async def run(self, spec: ModelSpec, worker_args: Sequence[str]) -> None:
        """Fetches and reads the files, starts the workers and keeps them. Owned by its opener."""
        try:
            await self._serve(spec, worker_args)
        except Exception as error:  # files may hold anything, and raise as they like
            if self._model is not None:
                raise
            foreseen = isinstance(error, EmbeddError | OSError)
            self._failure = str(error) if foreseen else f"its files cannot be used: {error!r}"
            _log.exception("model_not_opened", model=spec.name, exc_info=not foreseen, reason=self._failure)
            self._settled.set()

    async def _serve(self, spec: ModelSpec, worker_args: Sequence[str]) -> None:
        weights = await asyncio.to_thread(resolve, spec)
        files = await asyncio.to_thread(_read, spec, weights, self._limits)
        self.card = GeneratorCard(spec.name, spec.source, weights.revision, weights.sha256)
        commands = generation_commands(spec, weights, self._limits, worker_args)
        async with (
            open_planner(files, speculate=self._limits.speculate) as planner,
            open_generation_pool(commands, self._limits.max_waiting_tokens, self._metrics) as pool,
        ):
            self._model = _Model(planner, pool)
            self._settled.set()
            await asyncio.Event().wait()  # until the owner leaves


def _read(spec: ModelSpec, weights: Weights, limits: GenerationLimits) -> LanguageFiles:
    if spec.scheme == "fake":
        return fake_language_files()
    return read_language_files(weights.folder, limits.template)


@asynccontextmanager
async def open_local_generator(
    spec: ModelSpec,
    limits: GenerationLimits | None = None,
    *,
    metrics: GeneratorMetrics | None = None,
    worker_args: Sequence[str] = (),
) -> AsyncIterator[LocalGenerator]:
    """Starts the language model ``spec``, all of it in the background: see ``status``.

    ``worker_args`` are further arguments of the worker; tests use them to slow the fake model down.
    """
    metrics = metrics or GenerationMetrics(CollectorRegistry()).of(spec.name)
    generator = LocalGenerator(spec, limits or GenerationLimits(), metrics)
    async with beside(generator.run(spec, worker_args)):
        yield generator
