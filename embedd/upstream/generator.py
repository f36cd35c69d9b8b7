"""A generator elsewhere behind the face of one here: its stream is passed on as it comes.

Knows which events end an answer; ``client`` knows HTTP, ``bodies`` JSON.
"""

import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace

import msgspec
from prometheus_client import CollectorRegistry

from embedd.conversation import Continuation, Prompt
from embedd.errors import UpstreamError, UpstreamFailed, UpstreamTimedOut, UpstreamUnavailable
from embedd.generation.metrics import GenerationMetrics, GeneratorMetrics, RequestTimes
from embedd.generators import Delta, GenerationSettings, Usage
from embedd.grounding import cite
from embedd.ownership import Users
from embedd.pool import ModelStatus
from embedd.specs import GeneratorCard
from embedd.upstream.bodies import Chunk, request_body
from embedd.upstream.client import Context, open_upstream_client
from embedd.upstream.replicas import UpstreamReplicas
from embedd.upstream.specs import SCHEME, UpstreamLimits, UpstreamSpec

_DONE = b"[DONE]"


class UpstreamGenerator:
    """Made by ``open_upstream_generator``."""

    def __init__(self, spec: UpstreamSpec, client: UpstreamReplicas, metrics: GeneratorMetrics) -> None:
        self.card = GeneratorCard(spec.name, f"{SCHEME}{spec.model}@{'|'.join(spec.base_urls)}")
        self.device = ""
        self.dtype = ""
        self._spec = spec
        self._client = client
        self._metrics = metrics
        self._problem = ""
        self._users = Users()

    @property
    def status(self) -> ModelStatus:
        """As the last request found it: nobody asks without need."""
        return ModelStatus("stalled", self._problem) if self._problem else ModelStatus("ready")

    @property
    def _name(self) -> str:
        return f"the upstream of {self._spec.name!r}"

    @property
    def worker_pids(self) -> list[int]:
        """Its processes are not of this machine."""
        return []

    async def wait_ready(self) -> None:
        """Returns at once: whether it answers is found by asking."""

    async def idle(self) -> None:
        """Returns when no answer is under way."""
        await self._users.gone()

    async def generate(
        self, prompt: Prompt | Continuation, settings: GenerationSettings
    ) -> AsyncGenerator[Delta | Usage, None]:
        """As ``Generator`` says.

        Raises:
            UpstreamError: it did not answer, or not to the end.
        """
        events = self._answer(prompt, settings)
        if isinstance(prompt, Prompt) and prompt.passages is not None:
            verbatim = settings.response_format is not None
            events = cite(
                events, prompt.passages, invented=self._metrics.invented_citations, verbatim=verbatim
            )
        try:
            async with aclosing(events):
                with self._users.using():
                    async for event in events:
                        yield event
        except (UpstreamUnavailable, UpstreamTimedOut, UpstreamFailed) as error:
            self._problem = str(error)
            raise

    async def _answer(
        self, prompt: Prompt | Continuation, settings: GenerationSettings
    ) -> AsyncGenerator[Delta | Usage, None]:
        times = self._metrics.request()
        path = "/completions" if isinstance(prompt, Continuation) else "/chat/completions"
        data = self._client.stream(path, request_body(self._spec.model, prompt, settings))
        under_way = set(range(settings.n))
        usage: Usage | None = None
        try:
            async with aclosing(data):
                async for one in data:
                    if one == _DONE:
                        break
                    chunk = self._decode(one)
                    usage = chunk.taken() or usage
                    for delta in chunk.deltas():
                        under_way -= {delta.choice} if delta.finish_reason else set()
                        _time(delta, times)
                        yield delta
            if under_way:
                raise UpstreamFailed(f"{self._name} broke off before the end of its answer")
        except UpstreamError:
            times.ended("error")
            raise
        if usage is not None:
            times.answered(usage)
            yield usage

    def _decode(self, data: bytes) -> Chunk:
        """Raises ``UpstreamFailed`` for an error in the stream, and for what is no chunk."""
        self._problem = ""
        try:
            chunk = msgspec.json.decode(data, type=Chunk)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamFailed(f"{self._name} sends what is no chunk of a chat: {error}") from error
        if chunk.error is not None:
            message = chunk.error if isinstance(chunk.error, str) else chunk.error.message
            raise UpstreamFailed(f"{self._name} failed in the middle of its answer: {message[:500]}")
        return chunk


def _time(delta: Delta, times: RequestTimes) -> None:
    """A piece counts as a token, which is what upstreams send."""
    if delta.text or delta.tool_calls:
        times.tokens(delta.choice, 1)
    if delta.finish_reason:
        times.ended(delta.finish_reason)


@asynccontextmanager
async def open_upstream_generator(
    spec: UpstreamSpec,
    limits: UpstreamLimits | None = None,
    *,
    metrics: GeneratorMetrics | None = None,
    context: Context = dict,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[UpstreamGenerator]:
    """The generator ``spec``; nothing is asked of it until the first request, which has the headers of
    ``context`` like every other.
    """
    metrics = metrics or GenerationMetrics(CollectorRegistry()).of(spec.name)
    limits = limits or UpstreamLimits()
    if spec.others:
        limits = replace(limits, attempts=1)  # the next one is asked instead
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                open_upstream_client(replace(spec, base_url=url), limits, context, tls)
            )
            for url in spec.base_urls
        ]
        yield UpstreamGenerator(spec, UpstreamReplicas(clients), metrics)
