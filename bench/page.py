"""How soon does the web page show something, how heavy is it, and can everybody use it?

A real Chromium opens the page of a real service over the fake model: milliseconds from the beginning of the
navigation to the first paint with content and to the first complete view, with an empty cache and with a warm
one, beside the first paint of one line of text, which is the browser's own share; bytes as they are sent and
as they are; and axe-core's verdict on every view, by light and by dark.
"""

import asyncio
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import aiohttp
from playwright.async_api import Browser, Page

from harness.browser import Accessibility, check_accessibility, open_browser
from harness.options import parse_options
from harness.report import machine, print_table, write
from harness.service import open_service
from harness.targets import Goal, print_goals

LOADS, QUICK_LOADS = 30, 8
COLLECTION = "page"
VIEWS: Final = {
    "ask": "textarea",
    "search/tide": ".hit",
    "documents": ".documents tbody tr",
    "map": ".legend li",
}
PAINTED = """() => new Promise((done) => new PerformanceObserver((list) => {
  const first = list.getEntriesByName("first-contentful-paint")[0];
  if (first) done(first.startTime);
}).observe({ type: "paint", buffered: true }))"""
TIMES = """() => {
  const entries = ["navigation", "resource"].flatMap((type) => performance.getEntriesByType(type));
  const sum = (name) => entries.reduce((total, entry) => total + entry[name], 0);
  return {
    painted_ms: performance.getEntriesByName("first-contentful-paint")[0].startTime,
    complete_ms: performance.getEntriesByName("first-view")[0].startTime,
    sent_bytes: sum("transferSize"),
    bytes: sum("decodedBodySize"),
  };
}"""


@dataclass(frozen=True, slots=True)
class Load:
    """One opening of the page; times from the beginning of the navigation."""

    painted_ms: float
    complete_ms: float
    sent_bytes: int
    bytes: int


async def main() -> None:
    """Runs the bench."""
    options = parse_options("page", __doc__.partition("\n")[0])
    loads = QUICK_LOADS if options.quick else LOADS
    where = machine()
    async with open_service(model="fake") as service, open_browser() as browser:
        await fill(service.url)
        cold, line = [], []
        for _ in range(loads):
            cold.append(await load(browser, service.url))
            line.append(await paint_line(browser, service.url))
        warm = await reload(browser, service.url, loads)
        judged = await judge(browser, service.url)
    goals = goals_of(cold, judged)
    tell(cold, warm, median(line), judged)
    print_goals(goals)
    figures: dict[str, Any] = {
        "line_painted_ms": median(line),
        "cold": summary(cold),
        "warm": summary(warm),
        "accessibility": {name: {"score": one.score, "rules": one.passed} for name, one in judged.items()},
        "goals": [goal.as_figure() for goal in goals],
    }
    write(options.out, figures, {"loads": loads, "model": "fake"}, where)


async def fill(url: str) -> None:
    """A collection to look at."""
    documents = [{"id": f"d{n}", "text": f"The tide of day {n} comes at noon. " * 20} for n in range(50)]
    async with aiohttp.ClientSession(url, raise_for_status=True) as session:
        await session.put(f"/v1/collections/{COLLECTION}", json={})
        await session.post(f"/v1/collections/{COLLECTION}/documents?wait=true", json={"documents": documents})


async def load(browser: Browser, url: str) -> Load:
    """With nothing in the cache."""
    context = await browser.new_context()
    page = await context.new_page()
    loaded = await open_view(page, url, "ask")
    await context.close()
    return loaded


async def paint_line(browser: Browser, url: str) -> float:
    """Milliseconds to the first paint of one line of text."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"{url}/healthz")
    # Headless pages are painted when they have time: it may not be there yet.
    painted: float = await page.evaluate(PAINTED)
    await context.close()
    return painted


async def reload(browser: Browser, url: str, loads: int) -> list[Load]:
    """With everything in the cache, asked for again by its tag."""
    context = await browser.new_context()
    page = await context.new_page()
    await open_view(page, url, "ask")
    loaded = []
    for _ in range(loads):
        await page.goto("about:blank")
        loaded.append(await open_view(page, url, "ask"))
    await context.close()
    return loaded


async def open_view(page: Page, url: str, view: str) -> Load:
    await page.goto(f"{url}/#/{COLLECTION}/{view}")
    await page.locator(VIEWS[view]).first.wait_for()
    return Load(**await page.evaluate(TIMES))


async def judge(browser: Browser, url: str) -> dict[str, Accessibility]:
    """Every view, by light and by dark."""
    judged = {}
    for theme in ("light", "dark"):
        page = await browser.new_page(color_scheme=theme, reduced_motion="reduce")
        for view in VIEWS:
            await open_view(page, url, view)
            judged[f"{view.partition('/')[0]}, {theme}"] = await check_accessibility(page)
        await page.close()
    return judged


def summary(loads: list[Load]) -> dict[str, float]:
    """Medians."""
    return {name: median(getattr(one, name) for one in loads) for name in Load.__slots__}


def goals_of(cold: list[Load], judged: dict[str, Accessibility]) -> list[Goal]:
    first = summary(cold)
    worst = min(one.score for one in judged.values())
    return [
        Goal("first view, complete, from an empty cache", first["complete_ms"], "at most", 200, "ms"),
        Goal("weight of the first view, before compression", first["bytes"] / 1000, "at most", 150, "kB"),
        Goal("accessibility of the worst view", worst, "at least", 95),
    ]


def tell(cold: list[Load], warm: list[Load], line_ms: float, judged: dict[str, Accessibility]) -> None:
    rows = [
        [name, f"{one['painted_ms']:.0f}", f"{one['complete_ms']:.0f}", f"{one['sent_bytes'] / 1000:.0f}"]
        for name, one in (("empty cache", summary(cold)), ("warm cache", summary(warm)))
    ]
    rows.append(["one line of text", f"{line_ms:.0f}", "", ""])
    print_table("the first view, medians", ["", "painted, ms", "complete, ms", "sent, kB"], rows)
    verdicts = [
        [name, f"{one.score:.0f}", str(one.passed), "; ".join(one.violations)] for name, one in judged.items()
    ]
    print_table("axe-core", ["view", "score", "rules that hold", "violations"], verdicts)


if __name__ == "__main__":
    asyncio.run(main())
