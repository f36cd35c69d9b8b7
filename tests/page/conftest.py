"""A real service over the fake model, and a real browser that looks at its page.

Whatever a test does, the page must not raise an error, break its own policy or ask another host. The browser,
its profile and the loop that drives them are the session's: starting them costs more than any test.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import ConsoleMessage, Page, Request, expect
from real_service import Service, open_launcher

from harness.browser import find_chromium, open_browser

Open = Callable[..., Awaitable[Page]]

TIDES = """\
# Tides 🌊

The moon pulls the sea 🌕 towards it.

## Spring tides

Spring tides come at new moon and at full moon. Neap tides come a week later."""
DOCUMENTS = (
    {"id": "tides.md", "title": "Tides", "format": "markdown", "text": TIDES},
    {"id": "ports", "title": "Ports", "text": "The service listens on port 8080. The port flag changes it."},
    {"id": "notes/whales.txt", "text": "Sperm whales dive a thousand metres deep and stay for an hour."},
)
_NUMBERS = count()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    if find_chromium() is None:
        pytest.skip("needs Chromium (apt-get install chromium): the page is tested in a real browser")
    with open_launcher(tmp_path_factory.mktemp("page")) as launcher:
        yield launcher.start("--generators", "fake-llm")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def api(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=service.url, trust_env=False, timeout=30) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def collection(api: httpx.AsyncClient) -> AsyncIterator[str]:
    """A collection with three documents, for this test alone."""
    async with made_collection(api, DOCUMENTS) as name:
        yield name


@pytest_asyncio.fixture(loop_scope="session")
async def empty(api: httpx.AsyncClient) -> AsyncIterator[str]:
    """A collection with nothing in it, for this test alone."""
    async with made_collection(api) as name:
        yield name


@asynccontextmanager
async def made_collection(
    api: httpx.AsyncClient, documents: Sequence[dict[str, str]] = ()
) -> AsyncIterator[str]:
    name = f"c-{next(_NUMBERS)}"
    path = f"/v1/collections/{name}"
    assert (await api.put(path, json={})).status_code == 201
    if documents:
        answer = await api.post(f"{path}/documents?wait=true", json={"documents": documents})
        assert {document["status"] for document in answer.json()["documents"]} == {"ready"}
    yield name
    await api.delete(path)


@dataclass(frozen=True)
class Watched:
    """A page and its profile, and whatever went wrong on any page of it since ``wrong`` was cleared."""

    page: Page
    wrong: list[str]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def watched(service: Service) -> AsyncIterator[Watched]:
    wrong: list[str] = []

    def watch_request(request: Request) -> None:
        if not request.url.startswith((service.url, "data:", "blob:", "about:")):
            wrong.append(f"asked another host: {request.url}")

    def watch_console(line: ConsoleMessage) -> None:
        if "Policy" in line.text:
            wrong.append(line.text)

    async with open_browser() as browser:
        context = await browser.new_context(viewport={"width": 1200, "height": 760})
        context.set_default_timeout(30_000)
        expect.set_options(timeout=30_000)  # of a machine whose cores are all busy with other tests
        context.on("request", watch_request)
        context.on("console", watch_console)
        context.on("weberror", lambda raised: wrong.append(str(raised.error)))
        yield Watched(await context.new_page(), wrong)
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(watched: Watched, service: Service) -> AsyncIterator[Open]:
    """Opens a view of a collection; with ``fresh`` in a page that no other test gets."""
    watched.wrong.clear()
    fresh_ones: list[Page] = []

    async def open_page(*parts: str, fresh: bool = False) -> Page:
        page = watched.page
        if fresh:
            page = await watched.page.context.new_page()
            fresh_ones.append(page)
        else:
            await page.goto("about:blank")  # an address that differs behind # alone loads nothing
        await page.goto(f"{service.url}/#/{'/'.join(quote(part, safe='') for part in parts)}")
        await page.locator("main .view").wait_for()
        return page

    yield open_page
    for page in fresh_ones:
        await page.evaluate("localStorage.clear()")
        await page.close()
    assert watched.wrong == []


@pytest.fixture
def files(tmp_path: Path) -> Callable[[dict[str, bytes | str]], list[Path]]:
    """Files of these names and contents."""

    def make(contents: dict[str, bytes | str]) -> list[Path]:
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return [tmp_path / name for name in contents]

    return make
