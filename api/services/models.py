"""The models that this service was started with, by the names that clients use."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from api.errors import ModelChanged
from api.settings import Settings
from embedd.embedder import Embedder, EmbedderLimits, open_embedder
from embedd.errors import UnknownModel
from embedd.extractive import EmbedTexts
from embedd.generators import ExtractiveGenerator, FakeGenerator, Generator
from embedd.specs import parse_spec
from index.rows import CollectionSettings

NO_MODEL = "none"


@dataclass(frozen=True, slots=True)
class Models:
    """Embedding models by name and the generator's name; ``default`` is None in a service without a model.

    ``deadline_s`` is what a model may take for one request of a person who waits.
    """

    default: str | None
    embedders: Mapping[str, Embedder]
    generator_name: str
    deadline_s: float | None = None

    def embedder(self, name: str | None = None) -> Embedder:
        """The embedding model called ``name``, or the default one.

        Raises:
            UnknownModel: no such model is configured.
        """
        wanted = name or self.default
        if wanted is None or wanted not in self.embedders:
            raise UnknownModel(wanted or "(default)", sorted(self.embedders))
        return self.embedders[wanted]

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

    def generator(self, name: str) -> Generator:
        """The generator called ``name``.

        Raises:
            UnknownModel: it is not the configured one.
        """
        if name != self.generator_name:
            raise UnknownModel(name, [self.generator_name])
        if name == "fake":
            return FakeGenerator()
        if self.default is None:
            return ExtractiveGenerator(_no_similarity)
        return ExtractiveGenerator(embed_with(self.embedder(), self.deadline_s))

    def unready(self) -> list[str]:
        """Why the default embedding model cannot answer now; empty when it can, or when there is none."""
        if self.default is None:
            return []
        status = self.embedder().status
        if status.state == "ready":
            return []
        reason = f": {status.reason}" if status.reason else ""
        return [f"embedding model {self.default!r} is {status.state}{reason}"]


def embed_with(embedder: Embedder, deadline_s: float | None) -> EmbedTexts:
    """``embedder`` as a plain function from texts to vectors (n, dim)."""

    async def embed(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return (await embedder.embed(texts, deadline_s=deadline_s)).vectors

    return embed


@asynccontextmanager
async def open_models(settings: Settings) -> AsyncIterator[Models]:
    """Start every configured model; their workers load in the background.

    Raises:
        ModelLoadError: a model cannot be found at all.
    """
    names = [name for name in dict.fromkeys((settings.model, *settings.models)) if name != NO_MODEL]
    async with AsyncExitStack() as stack:
        embedders = {}
        for name in names:
            spec = parse_spec(name, device=settings.device, replicas=settings.replicas)
            embedders[name] = await stack.enter_async_context(open_embedder(spec, _limits(settings)))
        default = None if settings.model == NO_MODEL else settings.model
        yield Models(default, embedders, settings.generator, settings.request_timeout_s)


def _limits(settings: Settings) -> EmbedderLimits:
    return EmbedderLimits(
        max_batch_tokens=settings.max_batch_tokens,
        max_waiting_tokens=settings.max_waiting_tokens,
        batch_timeout_s=settings.batch_timeout_s,
    )


async def _no_similarity(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Without an embedding model sentences are told apart by their words alone."""
    return np.zeros((len(texts), 1), dtype=np.float32)
