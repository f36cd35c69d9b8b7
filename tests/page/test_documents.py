"""Collections and documents on the page: files in, progress, failures, deletion."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from pdf_files import pdf
from playwright.async_api import Page, expect

Open = Callable[..., Awaitable[Page]]
Files = Callable[[dict[str, bytes | str]], list[Path]]
pytestmark = pytest.mark.asyncio(loop_scope="session")

LOCKED = pdf("The tide table is locked.", password="moon")

# What a browser makes of files that are dropped: a DataTransfer with them.
DROP = """async ([target, files]) => {
  const transfer = new DataTransfer();
  for (const [name, content] of files) transfer.items.add(new File([content], name));
  for (const type of ["dragenter", "dragover", "drop"]) {
    const event = new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true });
    document.querySelector(target).dispatchEvent(event);
  }
}"""


async def choose(page: Page, paths: list[Path]) -> None:
    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name="Add files").click()
    await (await chooser.value).set_files(paths)


async def test_files_are_added_and_seen(open_page: Open, empty: str, files: Files) -> None:
    page = await open_page(empty, "documents")
    await choose(
        page, files({"a.txt": "The moon pulls the sea.", "b.md": "# Wind\n\nWind is air that moves."})
    )
    await expect(page.get_by_role("group", name="Uploads")).to_contain_text("2 documents added")
    await expect(page.get_by_role("rowheader")).to_have_count(2)
    await expect(page.get_by_role("row", name="a.txt")).to_contain_text("Ready")
    await expect(
        page.get_by_role("region", name="Collections").get_by_role("link", name=empty)
    ).to_contain_text("2")


async def test_files_are_dropped_on_any_view(open_page: Open, empty: str) -> None:
    page = await open_page(empty, "ask")
    await page.evaluate(DROP, ["main", [["dropped.txt", "Dropped into the sea."]]])
    await expect(page.get_by_role("row", name="dropped.txt")).to_be_visible()


async def test_what_cannot_be_read_says_why_and_the_rest_is_there(
    open_page: Open, empty: str, files: Files
) -> None:
    page = await open_page(empty, "documents")
    await choose(page, files({"good.txt": "The moon pulls the sea.", "broken.pdf": b"%PDF-1.4 nothing more"}))
    failed = page.get_by_role("group", name="Uploads").get_by_role("listitem")
    await expect(failed).to_contain_text("broken.pdf")
    assert len(await failed.inner_text()) > len("broken.pdf") + 10
    await expect(page.get_by_role("row", name="good.txt")).to_be_visible()
    await page.get_by_role("button", name="Close", exact=True).click()
    await expect(failed).to_have_count(0)


async def test_an_encrypted_file_is_sent_again_with_its_password(
    open_page: Open, empty: str, files: Files, api: httpx.AsyncClient
) -> None:
    page = await open_page(empty, "documents")
    await choose(page, files({"secret.pdf": LOCKED}))
    await page.get_by_role("button", name="Enter its password").click()
    await page.get_by_role("textbox", name="Password").fill("moon")
    await page.get_by_role("button", name="Send again").click()
    await expect(page.get_by_role("row", name="secret.pdf")).to_contain_text("PDF")


async def test_a_refused_upload_is_told(
    open_page: Open, empty: str, files: Files, api: httpx.AsyncClient
) -> None:
    page = await open_page(empty, "documents")
    await api.delete(f"/v1/collections/{empty}")
    await choose(page, files({"a.txt": "The moon pulls the sea."}))
    await expect(page.get_by_role("alert").first).to_contain_text(f"'{empty}'")


async def test_a_document_is_opened_and_deleted(open_page: Open, collection: str) -> None:
    page = await open_page(collection, "documents")
    await page.get_by_role("button", name="Ports", exact=True).click()
    await expect(page.get_by_role("region", name="Text of the document")).to_contain_text(
        "listens on port 8080"
    )
    await page.get_by_role("button", name="Delete Ports").click()
    await page.get_by_role("button", name="Delete", exact=True).click()
    await expect(page.get_by_role("rowheader")).to_have_count(2)
    await expect(page.locator("#reader")).to_be_hidden()


async def test_a_collection_is_made_and_deleted_after_a_question(open_page: Open, collection: str) -> None:
    page = await open_page(collection, "documents")
    await page.get_by_role("button", name="New collection").click()
    await page.get_by_label("Name").fill("made-here")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="made-here")).to_be_visible()
    await expect(page.get_by_role("heading", name="Drop files anywhere")).to_be_visible()
    await page.get_by_role("button", name="Delete collection").click()
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("heading", name="made-here")).to_be_visible()
    await page.get_by_role("button", name="Delete collection").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete collection").click()
    await expect(page.get_by_role("link", name="made-here")).to_have_count(0)


async def test_the_sample_is_ready_to_be_asked(open_page: Open, api: httpx.AsyncClient, empty: str) -> None:
    page = await open_page(empty, "documents")
    await page.get_by_role("button", name="Try it with a sample").click()
    await page.get_by_role("button", name="When do spring tides come?", exact=True).click()
    await expect(page.get_by_role("article", name="Answer")).to_contain_text("Spring tides come at new moon")
    await api.delete("/v1/collections/sample")


async def test_a_job_is_cancelled_and_what_is_settled_stays(
    open_page: Open, empty: str, files: Files
) -> None:
    page = await open_page(empty, "documents")
    texts = {f"n{number}.txt": f"Tide table {number}. " * 3000 for number in range(60)}
    await choose(page, files(texts))
    uploads = page.get_by_role("group", name="Uploads")
    await expect(uploads).to_contain_text("of 60 documents")
    await uploads.get_by_role("button", name="Cancel").click()
    await expect(uploads).to_contain_text("Cancelled")
