"""A parser with the default limits, and real documents where they are at hand."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.services.parse import Parser, open_parser


@pytest.fixture
async def parser() -> AsyncIterator[Parser]:
    async with open_parser() as parser:
        yield parser


@pytest.fixture(scope="session")
def real_documents() -> Path:
    """A folder of real files with a manifest; it lies beside the checkout and is no part of it."""
    folder = Path(__file__).parents[3] / "shared" / "data" / "docs"
    if not (folder / "manifest.jsonl").exists():
        pytest.skip(f"the evaluation data is not at {folder}")
    return folder
