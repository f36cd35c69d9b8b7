"""How a model of each kind is opened in this service: its limits, its measures, its cache, its files."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from api.services.elsewhere import Elsewhere
from api.services.generators import GeneratorOpener, RunningGenerator
from api.services.model_rows import ModelRow
from api.settings import Settings
from embedd.cache import Cache
from embedd.calibration import Calibrator
from embedd.embedder import Embedder, Lane, ModelLimits, open_embedder
from embedd.engine import Engine
from embedd.fetching import Fetching, Progress, fetch
from embedd.metrics import Metrics, ModelMetrics
from embedd.remote.launch import tell_nobody
from embedd.remote.pool import Tell
from embedd.reranker import Reranker, open_reranker
from embedd.specs import ELSEWHERE, ModelKind, ModelSpec, lies_in_bucket, parse_spec


@dataclass(frozen=True, slots=True)
class Openers:
    """``measured`` has what each model is measured by, ``calibrators`` how the vectors of each embedding
    model become int8, by its name and the sha256 of its weights. Both keep those of models that are gone.
    """

    settings: Settings
    metrics: Metrics
    generators: GeneratorOpener
    fetching: Fetching
    elsewhere: Elsewhere
    cache: Cache | None
    measured: dict[str, ModelMetrics] = field(default_factory=dict)
    calibrators: dict[tuple[str, str], Calibrator] = field(default_factory=dict)

    def spec(self, text: str, *, name: str | None = None) -> ModelSpec:
        """The model ``text``, to be run as the settings say.

        Raises:
            ModelLoadError: it means nothing.
        """
        settings = self.settings
        return parse_spec(
            text,
            name=name,
            device=settings.device,
            replicas=settings.replicas,
            dtype=settings.dtype,
            compiled=settings.compile,
            allow_pickle=settings.allow_pickle,
        )

    @asynccontextmanager
    async def embedder(
        self, spec: ModelSpec, progress: Progress | None = None, tell: Tell = tell_nobody
    ) -> AsyncIterator[Embedder]:
        """The embedding model ``spec``; ``tell`` hears what one elsewhere is waited for.

        Raises:
            ModelLoadError: its files cannot be had, or are no embedding model's.
        """
        async with self._embedder(spec, progress, tell) as embedder:
            self.calibrators[spec.name, embedder.card.sha256] = self._calibrator(embedder)
            yield embedder

    @asynccontextmanager
    async def _embedder(
        self, spec: ModelSpec, progress: Progress | None, tell: Tell
    ) -> AsyncIterator[Embedder]:
        if spec.scheme == ELSEWHERE:
            async with self._engine("embedding", spec, tell) as engine:
                yield Embedder(engine)
            return
        spec, measures = await self._fetched(spec, progress), self._measures(spec.name)
        async with open_embedder(spec, self._limits, metrics=measures, cache=self.cache) as embedder:
            yield embedder

    @asynccontextmanager
    async def reranker(
        self, spec: ModelSpec, progress: Progress | None = None, tell: Tell = tell_nobody
    ) -> AsyncIterator[Reranker]:
        """The reranking model ``spec``; ``tell`` hears what one elsewhere is waited for.

        Raises:
            ModelLoadError: its files cannot be had, or are no reranking model's.
        """
        if spec.scheme == ELSEWHERE:
            async with self._engine("reranking", spec, tell) as engine:
                yield Reranker(engine)
            return
        spec, measures = await self._fetched(spec, progress), self._measures(spec.name)
        async with open_reranker(spec, self._limits, metrics=measures, cache=self.cache) as reranker:
            yield reranker

    @asynccontextmanager
    async def generator(
        self, name: str, what: str, pins: Mapping[str, Any] | None = None, progress: Progress | None = None
    ) -> AsyncIterator[RunningGenerator]:
        """The generator ``what``, called ``name``; ``pins`` are fields of the spec that its weights go by, if
        it has any.

        Raises:
            ModelLoadError: it means nothing, or its files cannot be had.
        """
        spec = self.generators.spec(name, what)
        if spec is None:
            async with self.generators.weightless(name, what) as generator:
                yield generator
            return
        pinned = replace(spec, **(pins or {}))
        async with self.generators.local(await self._fetched(pinned, progress)) as local:
            yield local

    def _engine(self, kind: ModelKind, spec: ModelSpec, tell: Tell) -> AbstractAsyncContextManager[Engine]:
        return self.elsewhere.engine(
            kind, spec, self._limits, metrics=self._measures(spec.name), cache=self.cache, tell=tell
        )

    async def _fetched(self, spec: ModelSpec, progress: Progress | None) -> ModelSpec:
        if not lies_in_bucket(spec.source):
            return spec
        return replace(spec, folder=await fetch(spec, self.fetching, progress or Progress()))

    def _measures(self, name: str) -> ModelMetrics:
        return self.measured.setdefault(name, self.metrics.of(name))

    @property
    def _limits(self) -> ModelLimits:
        settings = self.settings
        return ModelLimits(
            max_batch_tokens=settings.max_batch_tokens,
            max_waiting_tokens=settings.max_waiting_tokens,
            batch_timeout_s=settings.batch_timeout_s,
        )

    def _calibrator(self, embedder: Embedder) -> Calibrator:
        deadline_s = self.settings.request_timeout_s

        async def embed(texts: Sequence[str]) -> npt.NDArray[np.float32]:
            return (await embedder.embed(texts, lane=Lane.BULK, deadline_s=deadline_s)).vectors

        card, folder = embedder.card, self.settings.data / "calibration"
        return Calibrator(embed, card.sha256, card.dim, folder)


def open_row(
    openers: Openers, row: ModelRow, progress: Progress, told: Tell
) -> AbstractAsyncContextManager[Any]:
    """The model of ``row``; ``told`` hears what it waits for."""
    pins: dict[str, Any] = {"revision": row.revision, "sha256": row.sha256, "allow_pickle": row.allow_pickle}
    if row.kind == "generator":
        return openers.generator(row.name, row.source, pins, progress)
    spec = replace(openers.spec(row.source, name=row.name), **pins)
    open_one = openers.embedder if row.kind == "embedding" else openers.reranker
    return open_one(spec, progress, told)
