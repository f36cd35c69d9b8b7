"""A service with a fake language model by default, an upstream that misbehaves on demand, and others."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from asking import open_ready
from upstreams import Upstream, open_upstream

from api.services.container import Services
from api.settings import load_settings


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with open_upstream() as upstream:
        yield upstream


@pytest.fixture
async def services(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Services]:
    """The fake language model by default, with others beside it."""
    others = f"cloud=openai:big-model@{upstream.url}, extractive, repeats=fake, none-such"
    settings = {"generator": "fake-llm", "generators": others, "upstream_timeout_s": 0.3}
    flags = {"data": tmp_path / "data", "model": "fake", "port": 0, **settings}
    async with open_ready(load_settings(flags)) as services:
        yield services
