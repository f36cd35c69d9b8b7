"""The generators that this service was started with: quoting, models of its own, and others elsewhere."""

import importlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from api.services.registry import Registry, RunningModel, open_registry
from api.settings import Settings, upstream_key
from api.tracing import outgoing_headers
from embedd.conversation import Continuation, Prompt
from embedd.errors import ModelLoadError
from embedd.generation.launch import GenerationLimits
from embedd.generation.metrics import GenerationMetrics
from embedd.generators import (
    Delta,
    ExtractiveGenerator,
    FakeGenerator,
    GenerationSettings,
    Generator,
    Usage,
)
from embedd.pool import ModelStatus
from embedd.specs import NAMED, GeneratorCard, ModelSpec, lies_in_bucket, parse_spec
from embedd.upstream.generator import open_upstream_generator
from embedd.upstream.specs import SCHEME, UpstreamLimits, parse_upstream


class RunningGenerator(RunningModel, Generator, Protocol):
    """A generator that tells about itself."""

    @property
    def card(self) -> GeneratorCard:
        """What it is."""


@dataclass(frozen=True, slots=True)
class Weightless:
    """A generator that is there from the start, and always."""

    card: GeneratorCard
    generator: Generator
    status: ModelStatus = field(default_factory=lambda: ModelStatus("ready"))
    device: str = ""
    dtype: str = ""

    @property
    def worker_pids(self) -> list[int]:
        """It has no process of its own."""
        return []

    async def wait_ready(self) -> None:
        """Returns at once."""

    async def idle(self) -> None:
        """Returns at once: whoever holds it may keep it."""

    def generate(
        self, prompt: Prompt | Continuation, settings: GenerationSettings
    ) -> AsyncGenerator[Delta | Usage, None]:
        return self.generator.generate(prompt, settings)


@dataclass(frozen=True, slots=True)
class GeneratorOpener:
    """How generators are opened in this service, measured in ``metrics``."""

    settings: Settings
    metrics: GenerationMetrics
    tls: ssl.SSLContext | None = None

    def spec(self, name: str, what: str) -> ModelSpec | None:
        """The language model ``what``, called ``name``; None for what has no weights here.

        Raises:
            ModelLoadError: it is no generator.
        """
        if what in ("extractive", "fake") or what.startswith(SCHEME):
            return None
        return _language_model(name, what, self.settings)

    def weightless(self, name: str, what: str) -> AbstractAsyncContextManager[RunningGenerator]:
        """What has no ``spec``.

        Raises:
            ModelLoadError: the address of an upstream cannot be used.
        """
        if not what.startswith(SCHEME):
            return _weightless(name, what)
        spec = parse_upstream(what, name=name)
        spec = parse_upstream(what, name=name, key=upstream_key(name, spec.base_url))
        limits = UpstreamLimits(silence_s=self.settings.upstream_timeout_s)
        return open_upstream_generator(
            spec, limits, metrics=self.metrics.of(name), context=outgoing_headers, tls=self.tls
        )

    def local(self, spec: ModelSpec) -> AbstractAsyncContextManager[RunningGenerator]:
        """A language model whose files are here, or that a hub has; it loads in the background."""
        local = importlib.import_module("embedd.generation.local")  # with jinja2, which only templates need
        opened: AbstractAsyncContextManager[RunningGenerator] = local.open_local_generator(
            spec, _limits(self.settings), metrics=self.metrics.of(spec.name)
        )
        return opened


@asynccontextmanager
async def open_generators(
    settings: Settings, open_one: Callable[[str, str], AbstractAsyncContextManager[RunningGenerator]]
) -> AsyncIterator[Registry[RunningGenerator]]:
    """Every configured generator, as ``open_one`` opens it by its name and what that stands for."""
    named = [named_generator(text) for text in (settings.generator, *settings.generators)]
    asked = dict(reversed(named))  # of two of one name the first, which may be the default
    names = list(dict.fromkeys(name for name, _ in named))
    async with open_registry(
        "generator",
        names,
        names[0],
        lambda name, _: open_one(name, asked[name]),
        is_far=lambda name: lies_in_bucket(asked[name]),
    ) as generators:
        yield generators


def named_generator(text: str) -> tuple[str, str]:
    """The name that requests use, and what it stands for: ``fast=/models/qwen``, or one that names itself.

    An upstream is called like its model there.
    """
    if found := NAMED.fullmatch(text):
        return found["name"], found["what"]
    if text.startswith(SCHEME):
        try:
            return parse_upstream(text).name, text
        except ModelLoadError:
            return text, text  # it is told when it is opened
    return text, text


def _language_model(name: str, what: str, settings: Settings) -> ModelSpec:
    try:
        spec = parse_spec(
            what,
            name=name,
            device=settings.device,
            replicas=settings.generator_replicas,
            dtype=settings.dtype,
            allow_pickle=settings.allow_pickle,
        )
    except ModelLoadError:
        spec = None
    if spec is None or spec.scheme == "bundled" or spec.source in ("fake:", "fake:reranker"):
        raise ModelLoadError(
            f"no generator {what!r}: name 'extractive', an existing folder, a hub id such as "
            f"'Qwen/Qwen3-0.6B', s3://<bucket>/<prefix>, or '{SCHEME}<model>@<url>'"
        )
    return spec


@asynccontextmanager
async def _weightless(name: str, what: str) -> AsyncIterator[RunningGenerator]:
    generator: Generator = FakeGenerator() if what == "fake" else ExtractiveGenerator()
    yield Weightless(GeneratorCard(name, f"{what}:", quotes=what == "extractive"), generator)


def _limits(settings: Settings) -> GenerationLimits:
    return GenerationLimits(
        kv_tokens=settings.kv_tokens,
        max_batch_tokens=settings.generator_batch_tokens,
        weights=settings.generator_weights,
        speculate=settings.speculate,
        template=settings.chat_template,
        max_waiting_tokens=settings.max_waiting_tokens,
        wait_s=settings.request_timeout_s,
        step_timeout_s=settings.batch_timeout_s,
    )
