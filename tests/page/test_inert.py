"""What documents hold is text to the page, whatever it looks like."""

from collections.abc import Awaitable, Callable

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

Open = Callable[..., Awaitable[Page]]
pytestmark = pytest.mark.asyncio(loop_scope="session")

MARKUP = (
    "<script>window.owned = 1</script><img src=x onerror='window.owned = 2'>"
    "<svg onload='window.owned = 3'></svg><a href='javascript:window.owned = 4'>Spring tides</a> come at"
    " new moon. <iframe srcdoc='<b>x</b>'></iframe>"
)
PARSE = "(text) => { try { document.body.innerHTML = text; } catch (error) { return error.name } }"


@pytest_asyncio.fixture(loop_scope="session")
async def hostile(api: httpx.AsyncClient, empty: str) -> str:
    """A collection whose document is markup in its text, its title and its id."""
    document = {"id": "<img src=x onerror='window.owned=5'>", "title": MARKUP, "text": MARKUP}
    answer = await api.post(f"/v1/collections/{empty}/documents?wait=true", json={"documents": [document]})
    assert answer.json()["documents"][0]["status"] == "ready"
    return empty


async def test_markup_in_documents_is_shown_and_never_run(open_page: Open, hostile: str) -> None:
    page = await open_page(hostile, "documents")
    await page.get_by_role("rowheader").get_by_role("button").click()
    await expect(page.get_by_role("region", name="Text of the document")).to_have_text(MARKUP)
    for view in ("search/spring%20tides", "map", "ask"):
        await page.goto(f"{page.url.partition('#')[0]}#/{hostile}/{view}")
        await expect(page.locator("main")).to_contain_text("<" if view != "ask" else "Ask 1 document")
    await page.get_by_label("Your question").fill("When do spring tides come?")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("article", name="Answer")).to_have_attribute("aria-busy", "false")
    assert await page.evaluate("window.owned") is None
    assert await page.locator("main :is(script, img, iframe, svg[onload], a[href^=javascript])").count() == 0


async def test_the_browser_itself_refuses_to_parse_text_as_markup(open_page: Open, collection: str) -> None:
    page = await open_page(collection, "ask")
    refused = await page.evaluate(PARSE, MARKUP)
    assert refused == "TypeError"
