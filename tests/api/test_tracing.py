"""What is told of a request's parts, whoever listens."""

from collections.abc import AsyncGenerator, Mapping

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from upstreams import open_upstream

from api.otlp import OtlpTracing
from api.tracing import Attribute, add_stage, following, outgoing_headers, part, tracing_as
from embedd.conversation import Prompt, Turn
from embedd.generators import GenerationSettings
from embedd.upstream.generator import open_upstream_generator
from embedd.upstream.specs import UpstreamSpec

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Told:
    """A trace that keeps what it is told: name, nanoseconds, attributes."""

    def __init__(self) -> None:
        self.parts: list[tuple[str, int, dict[str, Attribute]]] = []

    def add(self, name: str, began_ns: int, ended_ns: int, attributes: Mapping[str, Attribute]) -> None:
        self.parts.append((name, ended_ns - began_ns, dict(attributes)))

    def headers(self) -> Mapping[str, str]:
        return {"traceparent": PARENT}


async def numbers() -> AsyncGenerator[int, None]:
    for number in range(3):
        yield number


def test_a_part_is_told_when_it_is_over_with_what_was_learnt_meanwhile() -> None:
    told = Told()
    with tracing_as(told):
        with part("search", {"mode": "dense"}) as learnt:
            learnt["hits"] = 3
            assert told.parts == []
        assert told.parts[0][0] == "search"
    assert told.parts[0][2] == {"mode": "dense", "hits": 3}


def test_a_part_that_fails_says_of_what_and_raises_it() -> None:
    told = Told()
    with tracing_as(told), pytest.raises(KeyError), part("search", {}):
        raise KeyError("x")
    assert told.parts[0][2] == {"error.type": "KeyError"}


def test_a_stage_has_the_time_it_took() -> None:
    told = Told()
    with tracing_as(told):
        add_stage("fake", "forward", 0.25, 0.5)
    assert told.parts == [("model.forward", 250_000_000, {"embedd.model": "fake"})]


async def test_what_is_streamed_is_one_part_also_if_nobody_reads_to_the_end() -> None:
    told = Told()
    with tracing_as(told):
        whole, broken = following(numbers(), "whole", {}), following(numbers(), "broken", {})
        assert [number async for number in whole] == [0, 1, 2]
        assert await anext(broken) == 0
        await broken.aclose()
    assert [name for name, _, _ in told.parts] == ["whole", "broken"]
    assert told.parts[1][2] == {}, "who leaves is no failure"


async def test_where_nobody_traces_nothing_is_told_and_nothing_wrapped() -> None:
    with part("search", {}) as learnt:
        learnt["hits"] = 1
    add_stage("fake", "forward", 0.25, 0.0)
    events = numbers()
    assert following(events, "whole", {}) is events
    await events.aclose()
    assert outgoing_headers() == {}


@pytest.mark.parametrize("sent", [{}, {"traceparent": PARENT}])
def test_another_share_of_the_requests_is_traced_from_then_on(sent: dict[str, str]) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ALWAYS_OFF)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing = OtlpTracing(provider.get_tracer("embedd"))
    for ratio in (0.0, 1.0, 0.0):
        tracing.sample(ratio)
        with tracing.request(f"at {ratio}", sent, {}):
            pass
    expected = 3 if sent else 1  # whose caller says that they are, those are
    assert len(exporter.get_finished_spans()) == expected


async def test_an_upstream_is_told_whose_part_its_answer_is() -> None:
    async with open_upstream() as upstream:
        spec = UpstreamSpec("cloud", "big-model", upstream.url)
        async with open_upstream_generator(spec, context=outgoing_headers) as generator:
            prompt = Prompt((Turn("user", "When?"),))
            with tracing_as(Told()):
                [_ async for _ in generator.generate(prompt, GenerationSettings())]
            [_ async for _ in generator.generate(prompt, GenerationSettings())]
    assert upstream.traces == [PARENT, None]
