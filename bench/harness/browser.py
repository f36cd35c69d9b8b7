"""A real Chromium, driven by Playwright: what the web page is tested, measured and pictured with.

It is taken from the system, never downloaded; whoever needs it asks ``find_chromium`` first.
"""

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_FLAGS: Final = (
    "--no-sandbox",  # tests run as root in containers; the only pages opened are our own
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass(frozen=True, slots=True)
class Accessibility:
    """What axe-core says of a page as it is: how many of its rules hold, and how those that do not fail."""

    passed: int
    violations: tuple[str, ...]

    @property
    def score(self) -> float:
        """The share of the rules that apply and hold, from 0 to 100."""
        return 100 * self.passed / max(1, self.passed + len(self.violations))


def find_chromium() -> str | None:
    """Where this machine has a Chromium, or None."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """A headless browser with a fresh profile.

    Raises:
        FileNotFoundError: there is no Chromium here.
    """
    path = find_chromium()
    if path is None:
        raise FileNotFoundError(f"no Chromium here, looked for {', '.join(_NAMES)}")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(_FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


async def check_accessibility(page: Page, rules: Sequence[str] = ()) -> Accessibility:
    """Axe-core's ``rules``, or all of them, over the page as it is now."""
    results = await Axe().run(page, options={"runOnly": list(rules)} if rules else None)
    violations = tuple(
        f"{found['id']} ({found['impact']}): {node['html']}"
        for found in results.response["violations"]
        for node in found["nodes"]
    )
    return Accessibility(len(results.response["passes"]), violations)
