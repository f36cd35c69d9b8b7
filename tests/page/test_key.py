"""A service that asks for keys, and the page that is given one: asked for once, kept by its tab alone."""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, expect
from real_service import Service, open_launcher

from harness.browser import check_accessibility, find_chromium

pytestmark = pytest.mark.asyncio(loop_scope="session")

ADMIN = "the-key-of-the-administrator-in-a-file"
TEXTS = {
    "tides": "Spring tides come at new moon and at full moon. Neap tides come a week later.",
    "ports": "The service listens on port 8080. The port flag changes it.",
    "whales": "Sperm whales dive a thousand metres deep and stay for an hour.",
}


@pytest.fixture(scope="session")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that has keys, and a collection with documents."""
    if find_chromium() is None:
        pytest.skip("needs Chromium (apt-get install chromium): the page is tested in a real browser")
    folder = tmp_path_factory.mktemp("closed")
    (folder / "admin").write_text(ADMIN)
    with open_launcher(folder) as launcher:
        service = launcher.start("--admin-key-file", str(folder / "admin"))
        with service.client(headers={"Authorization": f"Bearer {ADMIN}"}) as client:
            client.put("/v1/collections/moon", json={}).raise_for_status()
            documents = {"documents": [{"id": id, "text": text} for id, text in TEXTS.items()]}
            client.post("/v1/collections/moon/documents?wait=true", json=documents).raise_for_status()
        yield service


@pytest_asyncio.fixture(loop_scope="session")
async def context(watched: Any) -> AsyncIterator[BrowserContext]:
    """A profile of its own."""
    browser = watched.page.context.browser
    context = await browser.new_context()
    context.set_default_timeout(30_000)
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext, closed: Service) -> Page:
    page = await context.new_page()
    await page.goto(f"{closed.url}/#/moon/ask")
    return page


async def give(page: Page, key: str) -> None:
    """With the keyboard alone."""
    await expect(page.get_by_label("API key", exact=True)).to_be_focused()
    await page.keyboard.type(key)
    await page.keyboard.press("Enter")


def made_key(service: Service, **fields: Any) -> str:
    headers = {"Authorization": f"Bearer {ADMIN}"}
    body = {"name": "reader", **fields}
    return str(
        httpx.post(f"{service.url}/v1/keys", json=body, headers=headers, trust_env=False).json()["key"]
    )


async def test_a_key_is_asked_for_until_it_is_good_and_lets_the_page_in(page: Page) -> None:
    asked = page.get_by_role("dialog", name="This service asks for a key")
    await expect(asked).to_contain_text("needs an API key")
    assert (await check_accessibility(page)).violations == ()
    await give(page, "not-the-key")
    await expect(asked).to_contain_text("wrong, revoked or expired")
    await give(page, ADMIN)
    await expect(page.get_by_role("link", name="moon")).to_be_visible()
    await expect(asked).to_be_hidden()
    assert (await check_accessibility(page)).violations == ()


async def test_the_key_is_kept_by_this_tab_alone_and_can_be_forgotten(
    page: Page, context: BrowserContext, closed: Service
) -> None:
    await give(page, ADMIN)
    await expect(page.get_by_role("link", name="moon")).to_be_visible()
    assert ADMIN not in await page.evaluate("JSON.stringify(localStorage) + document.cookie + location.href")
    await page.reload()
    await expect(page.get_by_role("link", name="moon")).to_be_visible()
    other = await context.new_page()
    await other.goto(closed.url)
    await expect(other.get_by_label("API key", exact=True)).to_be_visible()
    await page.get_by_role("button", name="Forget the API key").click()
    await expect(page.get_by_label("API key", exact=True)).to_be_visible()
    assert await page.evaluate("sessionStorage.length") == 0


async def test_what_streams_and_what_uploads_carries_the_key(
    page: Page, files: Callable[[dict[str, bytes | str]], list[Path]]
) -> None:
    await give(page, ADMIN)
    await page.get_by_label("Your question").fill("When do spring tides come?")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("article", name="Answer")).to_have_text(re.compile(r"\w"))
    await page.get_by_role("link", name="Documents").click()
    chosen = files({"ports.txt": "The service listens on port 8080."})
    await page.locator("input[type=file]").first.set_input_files(chosen)
    await expect(page.locator(".documents tbody")).to_contain_text("ports.txt")


async def test_a_key_for_one_collection_asks_it_without_conversations(page: Page, closed: Service) -> None:
    await give(page, made_key(closed, collections=["moon"]))
    for question in ("When do spring tides come?", "And when is full moon?"):
        await page.get_by_label("Your question").fill(question)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name="Send")).to_be_visible()
    await expect(page.get_by_role("article", name="Question")).to_have_count(2)
    await expect(page.get_by_role("article", name="Answer").last).to_have_text(re.compile(r"\w"))
    await expect(page.locator("#notices .error")).to_have_count(0)


async def test_a_key_that_only_reads_asks_without_keeping_conversations(page: Page, closed: Service) -> None:
    body = {"title": "Of before", "model": "extractive", "retrieval": {"collection": "moon"}}
    with closed.client(headers={"Authorization": f"Bearer {ADMIN}"}) as client:
        kept = client.post("/v1/conversations", json=body).raise_for_status().json()["id"]
    await give(page, made_key(closed, scope="read"))
    question, answers = page.get_by_label("Your question"), page.get_by_role("article", name="Answer")
    for view in ("#/moon/ask", f"#/moon/ask/{kept}"):
        await page.goto(f"{closed.url}/{view}")
        await expect(answers).to_have_count(0)  # what was there before is gone
        await question.fill("When do spring tides come?")
        await page.keyboard.press("Enter")
        await expect(answers).to_have_count(1)
        await expect(answers).to_contain_text("new moon")
    await expect(page.locator("#notices .error")).to_have_count(0)


async def test_who_gives_no_key_is_told_why_nothing_is_there(page: Page) -> None:
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator("#notices")).to_contain_text("needs an API key")
