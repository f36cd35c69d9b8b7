"""Places in texts: the service counts code points, JavaScript counts UTF-16 units."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Page

Open = Callable[..., Awaitable[Page]]
pytestmark = pytest.mark.asyncio(loop_scope="session")

TEXTS = ["", "plain", "🌊", "a🌊b🌕🌕c", "e\u0301 中文 👩‍🚀 \U0010ffff end", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 " * 3]


async def in_page(page: Page, expression: str, argument: Any) -> Any:
    return await page.evaluate(
        f"async (given) => {{ const text = await import('/ui/text.js'); return {expression} }}", argument
    )


async def test_every_stretch_of_code_points_is_cut_as_python_cuts_it(
    open_page: Open, collection: str
) -> None:
    page = await open_page(collection, "documents")
    for text in TEXTS:
        spans = [[start, end] for start in range(len(text) + 1) for end in range(start, len(text) + 1)]
        cut = "given[1].map((span) => given[0].slice(...text.units(given[0], span)))"
        assert await in_page(page, cut, [text, spans]) == [text[start:end] for start, end in spans]


async def test_words_of_a_query_are_found_in_other_forms_and_scripts(
    open_page: Open, collection: str
) -> None:
    page = await open_page(collection, "documents")
    words = "text.wordSpans(given[0], given[1]).map((span) => given[0].slice(...span))"
    for text, query, found in (
        ("Diving whales dive; a DIVER does.", "diving whale", ["Diving", "whales", "dive"]),
        ("The port of the ports.", "what is the port", ["port", "ports"]),
        ("To be or not to be", "to be", ["To", "be", "to", "be"]),
        ("月が海を引く", "海", ["海"]),
        ("<b>port</b>", "b", ["b", "b"]),
    ):
        assert await in_page(page, words, [text, query]) == found, text
