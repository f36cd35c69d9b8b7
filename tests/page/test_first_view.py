"""What everybody gets first: its weight, accessibility, keyboard, two themes and narrow shape."""

from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Page, expect

from harness.browser import check_accessibility

Open = Callable[..., Awaitable[Page]]
pytestmark = pytest.mark.asyncio(loop_scope="session")

MOST_BYTES = 150_000
ALL_RULES: list[str] = []


async def test_the_first_view_is_light(open_page: Open, collection: str) -> None:
    page = await open_page(collection, "ask")
    entries = "[performance.getEntriesByType('navigation')[0], ...performance.getEntriesByType('resource')]"
    sizes = await page.evaluate(f"{entries}.map((entry) => entry.transferSize)")
    decoded = await page.evaluate(f"{entries}.map((entry) => entry.decodedBodySize)")
    assert 0 < sum(sizes) <= sum(decoded) <= MOST_BYTES


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_every_view_is_clean_to_axe(open_page: Open, collection: str, theme: str) -> None:
    rules = ALL_RULES if theme == "light" else ["color-contrast"]  # the others do not see colours
    page = await open_page(collection, "ask", fresh=True)
    await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    await page.get_by_label("Your question").fill("When do spring tides come?")
    await page.keyboard.press("Enter")
    await page.locator(".cite").first.click()
    await expect(page.locator("#reader mark")).to_be_visible()
    assert (await check_accessibility(page, rules)).violations == ()
    await page.keyboard.press("Escape")
    for view, seen in (
        ("search/port", ".hit"),
        ("documents", ".documents tbody tr"),
        ("map", ".legend li"),
    ):
        await page.goto(f"{page.url.partition('#')[0]}#/{collection}/{view}")
        await expect(page.locator(seen).first).to_be_visible()
        assert (await check_accessibility(page, rules)).violations == (), view


async def test_what_is_empty_or_asks_is_clean_to_axe(open_page: Open, empty: str) -> None:
    page = await open_page(empty, "documents")
    await expect(page.get_by_role("heading", name="Drop files anywhere")).to_be_visible()
    await page.get_by_role("button", name="New collection").click()
    checked = await check_accessibility(page)
    assert checked.violations == ()
    assert checked.score >= 95


async def test_keys_lead_everywhere(open_page: Open, collection: str) -> None:
    page = await open_page(collection, "ask")
    for key, name in (("2", "Search"), ("3", "Documents"), ("4", "Map"), ("1", "Ask")):
        await page.keyboard.press(f"Alt+{key}")
        await expect(page.get_by_role("link", name=name)).to_have_attribute("aria-current", "page")
    await page.locator("main").focus()
    await page.keyboard.press("Control+k")
    await expect(page.get_by_label("Your question")).to_be_focused()


async def test_the_first_tab_skips_to_the_content(open_page: Open, collection: str) -> None:
    page = await open_page(collection, "documents")
    await page.evaluate("document.activeElement.blur()")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()


async def test_a_chosen_theme_stays(open_page: Open, collection: str) -> None:
    page = await open_page(collection, "ask", fresh=True)
    for theme in ("light", "dark"):
        await page.get_by_role("button", name="Theme:").click()
        await expect(page.locator("html")).to_have_attribute("data-theme", theme)
    ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    again = await open_page(collection, "ask", fresh=True)
    await expect(again.locator("html")).to_have_attribute("data-theme", "dark")
    assert (
        await again.evaluate("getComputedStyle(document.body).backgroundColor") == ground == "rgb(19, 20, 22)"
    )


async def test_a_narrow_screen_has_everything_and_scrolls_in_one_direction(
    open_page: Open, collection: str
) -> None:
    page = await open_page(collection, "documents", fresh=True)
    await page.set_viewport_size({"width": 360, "height": 640})
    await expect(page.get_by_role("link", name="Search")).to_be_in_viewport()
    for view in ("documents", "search", "ask", "map"):
        await page.goto(f"{page.url.partition('#')[0]}#/{collection}/{view}")
        await expect(page.get_by_role("region", name=view.capitalize(), exact=True)).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
    menu = page.get_by_role("button", name="Collections and conversations")
    await menu.click()
    await expect(page.get_by_role("complementary", name="Collections and views")).to_be_in_viewport()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("complementary", name="Collections and views")).to_be_hidden()


async def test_an_unknown_collection_says_so_and_shows_one_that_exists(
    open_page: Open, collection: str
) -> None:
    page = await open_page("nowhere", "ask")
    await expect(page.locator("#notices")).to_contain_text("There is no collection “nowhere”.")
    await expect(page.get_by_label("Your question")).to_be_visible()
