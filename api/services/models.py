"""The models that this service runs, by the names that clients use."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace

from prometheus_client import CollectorRegistry

from api.errors import ModelChanged
from api.security.tls import remote_context
from api.services.elsewhere import Elsewhere
from api.services.generators import GeneratorOpener, RunningGenerator, open_generators
from api.services.opening import Openers
from api.services.registry import ModelState, Registry, open_registry
from api.settings import Settings
from api.tracing import add_stage
from embedd.cache import Cache, CacheLimits, open_cache
from embedd.calibration import Calibrator
from embedd.embedder import Embedder
from embedd.errors import UnknownModel
from embedd.fetching import Fetching
from embedd.generation.metrics import GenerationMetrics
from embedd.metrics import Metrics, ModelMetrics
from embedd.remote.pool import Tell
from embedd.reranker import Reranker
from embedd.specs import ModelCard, comes_later, split_name
from index.rows import CollectionSettings

NO_MODEL = "none"


@dataclass(frozen=True, slots=True)
class Models:
    """Embedding models, reranking models and generators by name.

    ``openers`` make more of them. ``deadline_s`` is what a model may take for one request of a person who
    waits.
    """

    embedders: Registry[Embedder]
    rerankers: Registry[Reranker]
    generators: Registry[RunningGenerator]
    openers: Openers
    deadline_s: float | None = None

    @property
    def measured(self) -> Mapping[str, ModelMetrics]:
        """What each embedding and reranking model is measured by."""
        return self.openers.measured

    def calibrator(self, card: ModelCard) -> Calibrator:
        """How the vectors of the embedding model ``card`` become int8."""
        return self.openers.calibrators[card.name, card.sha256]

    @property
    def default(self) -> str | None:
        """The embedding model of requests that name none; None in a service without a model."""
        return self.embedders.default

    def embedder(self, name: str | None = None) -> Embedder:
        """The embedding model called ``name``, or the default one.

        Raises:
            UnknownModel: no such model is configured.
            ModelLoadError: it is, and could not be opened.
        """
        return self.embedders.get(name)

    def reranker(self, name: str | None = None) -> Reranker:
        """The reranking model called ``name``, or the default one.

        Raises:
            UnknownModel: no such model is configured.
            ModelLoadError: it is, and could not be opened.
        """
        return self.rerankers.get(name)

    def ranker(self, name: str | None = None) -> Reranker | Embedder:
        """What ranks texts for requests that name ``name``: a reranking model, or an embedding model, whose
        token vectors do. Without a name the first of the two that there is a default for.

        Raises:
            UnknownModel: no such model is configured.
            ModelLoadError: it is, and could not be opened.
        """
        if name is None:
            return self.embedder() if self.rerankers.default is None else self.reranker()
        if name in self.rerankers.names:
            return self.reranker(name)
        if name in self.embedders.names:
            return self.embedder(name)
        raise UnknownModel(name, [*self.rerankers.names, *self.embedders.names])

    def embedder_of(self, collection: CollectionSettings) -> Embedder:
        """The model that ``collection`` was made with; the same weights, not just the same name.

        Raises:
            UnknownModel: this service does not run it.
            ModelChanged: it runs other weights under that name; their vectors would not be comparable.
        """
        embedder = self.embedder(collection.model)
        if embedder.card.sha256 != collection.model_sha256:
            raise ModelChanged(
                f"collection {collection.name!r} was made with other weights of {collection.model!r}: "
                f"serve those (sha256 {collection.model_sha256}), or ingest into a new collection"
            )
        return embedder

    def within(self, seconds: float | None) -> "Models":
        """The same models for a request that ends in so many seconds, if that is sooner."""
        limits = [one for one in (seconds, self.deadline_s) if one is not None]
        return replace(self, deadline_s=min(limits, default=None))

    @property
    def generator_name(self) -> str:
        """The generator of requests that name none."""
        assert self.generators.default is not None, "there always is one"
        return self.generators.default

    def generator(self, name: str) -> RunningGenerator:
        """The generator called ``name``.

        Raises:
            UnknownModel: no such generator is configured.
            ModelLoadError: it is, and could not be opened.
        """
        return self.generators.get(name)

    def context(self, generator: str) -> int | None:
        """The most tokens of a prompt and its answer, where that is known."""
        states = self.generators.states()
        return next((state.context for state in states if state.name == generator), None)

    def split_generator(self, model: str | None) -> tuple[str, str | None]:
        """The generator that ``model`` names, and the collection behind its last @, if there is one."""
        if model is None:
            return self.generator_name, None
        if model in self.generators.names:
            return model, None
        generator, at, collection = model.rpartition("@")
        return (generator, collection) if at else (model, None)

    def states(self) -> Iterator[ModelState]:
        """Every configured model, as it is now."""
        yield from self.embedders.states()
        yield from self.rerankers.states()
        yield from self.generators.states()

    def unready(self) -> list[str]:
        """Why the default embedding model cannot answer now; empty when it can, or when there is none."""
        return self.embedders.unready()

    def notes(self) -> list[str]:
        """What else cannot answer now, and why."""
        registries = (self.embedders, self.rerankers, self.generators)
        told = [note for registry in registries for _, note in registry.notes()]
        return [note for note in told if note not in self.unready()]


@asynccontextmanager
async def open_models(settings: Settings, registry: CollectorRegistry) -> AsyncIterator[Models]:
    """Start every configured model, measured in ``registry``; their workers load in the background, and what
    lies in a bucket comes when it is fetched.
    """
    embedding, reranking = _named(settings.model, *settings.models), _named(settings.reranker)
    tls = remote_context(settings)
    async with _open_cache(settings) as cache:
        generators = GeneratorOpener(settings, GenerationMetrics(registry), tls)
        elsewhere, measures = Elsewhere(settings, tls), Metrics(registry, add_stage)
        openers = Openers(settings, measures, generators, _fetching(settings), elsewhere, cache)

        def embedder(name: str, tell: Tell) -> AbstractAsyncContextManager[Embedder]:
            return openers.embedder(openers.spec(embedding[name], name=name), tell=tell)

        def reranker(name: str, tell: Tell) -> AbstractAsyncContextManager[Reranker]:
            return openers.reranker(openers.spec(reranking[name], name=name), tell=tell)

        async with (
            open_registry(
                "embedding",
                list(embedding),
                next(iter(embedding), None) if settings.model != NO_MODEL else None,
                embedder,
                is_far=lambda name: comes_later(embedding[name]),
            ) as embedders,
            open_registry(
                "reranking",
                list(reranking),
                next(iter(reranking), None),
                reranker,
                is_far=lambda name: comes_later(reranking[name]),
            ) as rerankers,
            open_generators(settings, openers.generator) as running,
        ):
            yield Models(embedders, rerankers, running, openers, settings.request_timeout_s)


def _named(*texts: str) -> dict[str, str]:
    """What each name stands for; of two of one name the first, which may be the default."""
    named: dict[str, str] = {}
    for name, what in (split_name(text) for text in texts if text != NO_MODEL):
        named.setdefault(name, what)
    return named


def _fetching(settings: Settings) -> Fetching:
    cache = settings.model_cache or settings.data / "models"
    return Fetching(cache, endpoint=settings.s3_endpoint)


@asynccontextmanager
async def _open_cache(settings: Settings) -> AsyncIterator[Cache | None]:
    if not settings.cache_bytes and settings.cache_file is None:
        yield None
        return
    async with open_cache(CacheLimits(settings.cache_bytes, settings.cache_file)) as cache:
        yield cache
