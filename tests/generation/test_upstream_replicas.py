"""Several upstreams of one generator: who answers, and what happens where one does not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fake_models import until
from upstreams import Upstream, breaking_off, falling_silent, open_upstream, refusing, saying

from embedd.conversation import Prompt, Turn
from embedd.errors import (
    ModelLoadError,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimedOut,
    UpstreamUnavailable,
)
from embedd.generators import Delta, GenerationSettings
from embedd.upstream.generator import UpstreamGenerator, open_upstream_generator
from embedd.upstream.specs import UpstreamLimits, parse_upstream

QUESTION = Prompt((Turn("user", "When?"),))


@asynccontextmanager
async def open_two(**limits: Any) -> AsyncIterator[tuple[Upstream, Upstream, UpstreamGenerator]]:
    async with open_upstream() as one, open_upstream() as other:
        spec = parse_upstream(f"openai:m@{one.url}|{other.url}", key="s3cret")
        async with open_upstream_generator(spec, UpstreamLimits(**limits)) as generator:
            yield one, other, generator


async def said(generator: UpstreamGenerator) -> str:
    parts = generator.generate(QUESTION, GenerationSettings())
    return "".join([part.text async for part in parts if isinstance(part, Delta)])


async def test_answers_are_shared_out_by_how_many_are_under_way() -> None:
    async with open_two() as (one, other, generator):
        one.behave = other.behave = falling_silent("Six ")
        asked = [asyncio.create_task(said(generator)) for _ in range(4)]
        await until(lambda: len(one.requests) + len(other.requests) == 4)
        assert len(one.requests) == len(other.requests) == 2
        assert {*one.keys, *other.keys} == {"Bearer s3cret"}
        for task in asked:
            task.cancel()
        await asyncio.wait(asked)


@pytest.mark.parametrize(
    "behave", [refusing(503), refusing(500), refusing(429, **{"Retry-After": "60"}), breaking_off()]
)
async def test_what_one_does_not_begin_another_answers(behave: Any) -> None:
    async with open_two() as (one, _, generator):
        one.behave = behave
        assert await said(generator) == "Six o'clock."
        for _ in range(3):
            assert await said(generator) == "Six o'clock."
        assert len(one.requests) == 1, "it is left alone for a while"
        assert generator.status.state == "ready"


async def test_an_answer_that_has_begun_is_not_begun_again() -> None:
    async with open_two() as (one, other, generator):
        one.behave = breaking_off("Six ")
        with pytest.raises(UpstreamFailed, match=one.url):
            await said(generator)
        assert not other.requests


@pytest.mark.parametrize(
    ("behave", "error"),
    [(refusing(400, "bad schema"), UpstreamRefused), (falling_silent(), UpstreamTimedOut)],
)
async def test_what_would_be_no_better_elsewhere_is_told_at_once(behave: Any, error: type[Exception]) -> None:
    async with open_two(silence_s=0.2) as (one, other, generator):
        one.behave = behave
        with pytest.raises(error):
            await said(generator)
        assert not other.requests


async def test_where_none_answers_the_last_says_why() -> None:
    async with open_two() as (one, other, generator):
        one.behave = other.behave = refusing(503, "loading")
        with pytest.raises(UpstreamUnavailable, match="loading"):
            await said(generator)
        other.behave = saying("On.")
        assert await said(generator) == "On."


def test_one_address_that_cannot_be_used_is_enough() -> None:
    with pytest.raises(ModelLoadError, match=r"with \| between them"):
        parse_upstream("openai:m@http://a/v1|b/v1")
