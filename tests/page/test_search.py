"""Searching on the page, and its map."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Page, Route, expect

Open = Callable[..., Awaitable[Page]]
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_hits_have_their_words_marked_and_their_scores(open_page: Open, collection: str) -> None:
    page = await open_page(collection, "search")
    await page.get_by_role("searchbox", name="Search").fill("service ports")
    await page.keyboard.press("Enter")
    first = page.get_by_role("article").first
    await expect(first.get_by_role("heading")).to_have_text("Ports")
    await expect(first.locator("mark")).to_have_text(["service", "port", "port"])
    await expect(first).to_contain_text("meaning")
    await expect(page.get_by_role("status").filter(has_text="passages in")).to_be_visible()


async def test_a_hit_opens_its_passage_and_the_address_keeps_the_query(
    open_page: Open, collection: str
) -> None:
    page = await open_page(collection, "search", "thousand metres deep?")
    await page.get_by_role("article").first.get_by_role("button").click()
    await expect(page.locator("#reader h2")).to_have_text("notes/whales.txt")
    await expect(page.locator("#reader mark")).to_contain_text("Sperm whales dive")


async def test_the_mode_is_switched_by_key(open_page: Open, collection: str) -> None:
    page = await open_page(collection, "search", "port")
    await expect(page.get_by_role("article")).to_have_count(3)
    await page.get_by_role("radio", name="Both").focus()
    for _ in range(2):
        await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("radio", name="Words")).to_be_checked()
    await expect(page.get_by_role("article")).to_have_count(1)


async def test_nothing_found_says_what_to_do(open_page: Open, collection: str) -> None:
    page = await open_page(collection, "search", "zeppelin")
    await page.get_by_role("radio", name="Words").check(force=True)
    await expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()


async def test_an_answer_that_comes_late_does_not_replace_a_newer_one(
    open_page: Open, collection: str
) -> None:
    page = await open_page(collection, "search")
    held: asyncio.Future[Route] = asyncio.get_running_loop().create_future()

    async def hold(route: Route) -> None:
        if route.request.post_data_json["mode"] == "hybrid":
            held.set_result(route)
        else:
            await route.continue_()

    await page.route("**/search", hold)
    await page.get_by_role("searchbox", name="Search").fill("zeppelin")
    await page.keyboard.press("Enter")
    older = await held
    await page.get_by_role("radio", name="Words").check(force=True)
    await expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()
    async with page.expect_response("**/search") as answered:
        await older.continue_()
    await (await answered.value).finished()
    await page.unroute("**/search")
    await page.evaluate("new Promise((done) => setTimeout(done))")
    await expect(page.get_by_role("article")).to_have_count(0)


async def test_an_empty_collection_says_how_to_begin(open_page: Open, empty: str) -> None:
    page = await open_page(empty, "search")
    await page.get_by_role("button", name="Add documents").click()
    await expect(page.get_by_role("heading", name="Drop files anywhere on this page")).to_be_visible()


async def test_the_map_is_read_by_key_and_marks_a_query(open_page: Open, collection: str) -> None:
    page = await open_page(collection, "map")
    await expect(page.get_by_role("list", name="Documents by colour").get_by_role("listitem")).to_have_count(
        3
    )
    await page.get_by_label("Question").fill("Which port does it listen on?")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("best hit: Ports")).to_be_visible()
    drawing = page.get_by_role("application")
    await drawing.focus()
    await drawing.press("ArrowRight")  # the first key goes to the best hit
    await expect(page.locator("#map-detail")).to_contain_text("listens on port 8080")
    await drawing.press("Enter")
    await expect(page.locator("#reader mark")).to_contain_text("listens on port 8080")
