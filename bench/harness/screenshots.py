"""Takes the pictures of the web page in docs/screenshots, anew: ``make screenshots``.

A real service with the default model reads this project's own documentation; a real Chromium looks at it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import aiohttp
from playwright.async_api import Browser, Page

from harness.browser import open_browser
from harness.options import REPOSITORY
from harness.service import open_service

TARGET: Final = REPOSITORY / "docs" / "screenshots"
COLLECTION: Final = "handbook"
QUESTION: Final = "What survives kill -9?"
Picture: TypeAlias = Callable[[Page, str], Awaitable[None]]
WIDE: Final = (1200, 720)
NARROW: Final = (390, 720)


async def main() -> None:
    """Takes them all."""
    TARGET.mkdir(exist_ok=True)
    async with open_service() as service, open_browser() as browser:
        await fill(service.url)
        for theme, name in (("light", "ask"), ("dark", "ask-dark")):
            await take(browser, service.url, name, ask, theme=theme)
        for name, picture in (("search", search), ("documents", documents), ("map", draw_map)):
            await take(browser, service.url, name, picture)
        await take(browser, service.url, "narrow", ask_narrow, size=NARROW)


async def fill(url: str) -> None:
    """The project's own documentation, as a collection."""
    paths = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
    documents = [
        {"id": str(path.relative_to(REPOSITORY)), "format": "markdown", "text": path.read_text("utf-8")}
        for path in paths
    ]
    async with aiohttp.ClientSession(url, raise_for_status=True) as session:
        await session.put(f"/v1/collections/{COLLECTION}", json={})
        await session.post(f"/v1/collections/{COLLECTION}/documents?wait=true", json={"documents": documents})


async def take(
    browser: Browser,
    url: str,
    name: str,
    picture: Picture,
    *,
    theme: str = "light",
    size: tuple[int, int] = WIDE,
) -> None:
    page = await browser.new_page(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=theme,  # type: ignore[arg-type]
        reduced_motion="reduce",
    )
    await picture(page, f"{url}/#/{COLLECTION}")
    await page.screenshot(path=TARGET / f"{name}.png")
    await page.close()
    print(f"written: {TARGET / name}.png, {(TARGET / f'{name}.png').stat().st_size / 1000:.0f} kB")


async def ask(page: Page, url: str) -> None:
    """An answer, and the first of its citations opened."""
    await ask_narrow(page, url)
    await page.locator(".cite").first.click()
    await page.locator("#reader mark").wait_for()


async def ask_narrow(page: Page, url: str) -> None:
    await page.goto(f"{url}/ask")
    await page.get_by_label("Your question").fill(QUESTION)
    await page.keyboard.press("Enter")
    await page.locator(".source").first.wait_for()


async def search(page: Page, url: str) -> None:
    await page.goto(f"{url}/search/how is a graph rebuilt")
    await page.locator(".hit").first.wait_for()


async def documents(page: Page, url: str) -> None:
    await page.goto(f"{url}/documents")
    await page.locator(".documents tbody tr").first.wait_for()


async def draw_map(page: Page, url: str) -> None:
    await page.goto(f"{url}/map")
    await page.locator(".legend li").first.wait_for()
    await page.get_by_label("Question").fill("How are filters answered?")
    async with page.expect_response("**/v1/embeddings"):
        await page.keyboard.press("Enter")
    await page.get_by_role("application").press("ArrowRight")


if __name__ == "__main__":
    asyncio.run(main())
