"""Asking on the page: streams, citations, abstention, stopping."""

import asyncio
import re
from collections.abc import Awaitable, Callable

import httpx
import pytest
from playwright.async_api import Page, Route, expect

Open = Callable[..., Awaitable[Page]]
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def ask(page: Page, text: str) -> None:
    await page.get_by_label("Your question").fill(text)
    await page.keyboard.press("Enter")


async def test_an_answer_quotes_and_its_citation_opens_the_very_words(
    open_page: Open, collection: str
) -> None:
    page = await open_page(collection, "ask")
    await ask(page, "When do spring tides come?")
    answer = page.get_by_role("article", name="Answer")
    await expect(answer).to_contain_text("Spring tides come at new moon and at full moon.")
    await answer.get_by_role("button", name=re.compile("^Source 1")).first.click()
    reader = page.get_by_role("complementary", name="Document")
    await expect(reader.get_by_role("heading")).to_have_text("Tides")
    # Behind two signs that take two units each in JavaScript: an offset that was not converted would be off.
    await expect(reader.locator("mark")).to_have_text("Spring tides come at new moon and at full moon.")
    await expect(reader.locator("mark")).to_be_in_viewport()


async def test_escape_closes_the_document_and_gives_the_focus_back(open_page: Open, collection: str) -> None:
    page = await open_page(collection, "ask")
    await ask(page, "When do spring tides come?")
    citation = page.get_by_role("button", name=re.compile("^Source 1")).first
    await citation.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#reader mark")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator("#reader")).to_be_hidden()
    await expect(citation).to_be_focused()


async def test_what_the_documents_do_not_say_is_shown_as_such(open_page: Open, collection: str) -> None:
    page = await open_page(collection, "ask")
    await ask(page, "Quarterly revenue figures?")
    answer = page.get_by_role("article", name="Answer")
    await expect(answer).to_contain_text("Not in these documents.")
    await expect(answer.get_by_role("list", name="Sources")).to_have_count(0)


async def test_a_stream_grows_and_stops_by_button_and_by_key(open_page: Open, collection: str) -> None:
    page = await open_page(collection, "ask")
    await page.get_by_label("Who answers").select_option("fake-llm")
    for stopped in range(2):
        await ask(page, "forever: tides")
        answer = page.get_by_role("article", name="Answer").nth(stopped)
        await expect(answer.locator(".prose")).not_to_be_empty()
        await expect(answer).to_have_attribute("aria-busy", "true")
        await (page.keyboard.press("Escape") if stopped else page.get_by_role("button", name="Stop").click())
        await expect(answer).to_contain_text("Stopped.")
        await expect(page.get_by_role("button", name="Send")).to_be_visible()


async def test_what_a_model_invents_as_a_source_is_no_link(open_page: Open, collection: str) -> None:
    page = await open_page(collection, "ask")
    await page.get_by_label("Who answers").select_option("fake-llm")
    await ask(page, "Which port?\nsay: The service listens on port 8080 [1]. And [99].")
    answer = page.get_by_role("article", name="Answer")
    await expect(answer.get_by_role("list", name="Sources").get_by_role("listitem")).to_have_count(1)
    await expect(answer.locator(".cite")).to_have_text(["1"])
    await expect(answer.get_by_role("button", name=re.compile("99"))).to_have_count(0)


async def test_an_error_is_told_in_the_services_words(
    open_page: Open, api: httpx.AsyncClient, collection: str
) -> None:
    page = await open_page(collection, "ask")
    nobody = '{"model":"nobody","messages":[]}'
    await page.route("**/v1/chat/completions", lambda route: route.continue_(post_data=nobody), times=1)
    await ask(page, "When do spring tides come?")
    refusal = (await api.post("/v1/chat/completions", json={"model": "nobody", "messages": []})).json()
    await expect(page.get_by_role("alert")).to_have_text(refusal["error"]["message"])


async def test_an_answer_goes_on_while_the_reader_looks_elsewhere(open_page: Open, collection: str) -> None:
    page = await open_page(collection, "ask")
    await ask(page, "When do spring tides come?")
    await page.get_by_role("link", name="Documents").click()
    await page.get_by_role("link", name="Ask").click()
    await expect(page.get_by_role("article", name="Answer")).to_contain_text("Spring tides come")


async def test_a_document_that_is_gone_is_told_and_its_quote_stays(
    open_page: Open, api: httpx.AsyncClient, collection: str
) -> None:
    page = await open_page(collection, "ask")
    await ask(page, "When do spring tides come?")
    await expect(page.locator(".cite").first).to_be_visible()
    await api.delete(f"/v1/collections/{collection}/documents/tides.md")
    await page.locator(".cite").first.click()
    await expect(page.locator("#reader")).to_contain_text("This document is not there any more.")
    await expect(page.locator("#reader mark")).to_have_text("Spring tides come at new moon and at full moon.")


async def test_a_document_that_changed_is_told(
    open_page: Open, api: httpx.AsyncClient, collection: str
) -> None:
    page = await open_page(collection, "ask")
    await ask(page, "When do spring tides come?")
    await expect(page.locator(".cite").first).to_be_visible()
    changed = {
        "documents": [
            {"id": "tides.md", "text": "Something else stands here now, and it is long enough. " * 9}
        ]
    }
    await api.post(f"/v1/collections/{collection}/documents?wait=true", json=changed)
    await page.locator(".cite").first.click()
    await expect(page.locator("#reader")).to_contain_text("This document was changed since")


async def test_a_conversation_is_kept_listed_and_opened_again(open_page: Open, collection: str) -> None:
    page = await open_page(collection, "ask")
    await ask(page, "When do spring tides come?")
    current = page.get_by_role("region", name="Conversations").locator("[aria-current=page]")
    await expect(current).to_have_text("When do spring tides come?")
    again = await open_page(*re.sub(r"^.*#/", "", page.url).split("/"), fresh=True)
    await expect(again.get_by_role("article", name="Question")).to_have_text("When do spring tides come?")
    await expect(again.get_by_role("article", name="Answer")).to_contain_text("Spring tides come")
    await again.locator(".cite").first.click()
    await expect(again.locator("#reader mark")).to_have_text(
        "Spring tides come at new moon and at full moon."
    )


async def test_a_conversation_is_deleted_after_a_question(open_page: Open, collection: str) -> None:
    page = await open_page(collection, "ask")
    await ask(page, "Which port does it listen on?")
    talks = page.get_by_role("region", name="Conversations")
    await talks.get_by_role("button", name="Delete the conversation “Which port does it listen on?”").click(
        force=True
    )
    await page.get_by_role("button", name="Delete conversation").click()
    await expect(talks.get_by_role("link", name="Which port does it listen on?")).to_have_count(0)
    await expect(page.get_by_role("article")).to_have_count(0)


async def test_a_conversation_that_comes_late_is_not_mixed_into_another(
    open_page: Open, api: httpx.AsyncClient, collection: str
) -> None:
    ids = []
    for question in ("When do spring tides come?", "Which port?"):
        retrieval = {"collection": collection}
        kept = (await api.post("/v1/conversations", json={"retrieval": retrieval})).json()["id"]
        turn = [{"role": "user", "content": question}]
        body = {"model": "extractive", "messages": turn, "retrieval": retrieval, "conversation": kept}
        (await api.post("/v1/chat/completions", json=body)).raise_for_status()
        ids.append(kept)
    page = await open_page(collection, "ask")
    held: asyncio.Future[Route] = asyncio.get_running_loop().create_future()

    async def hold(route: Route) -> None:
        held.set_result(route)

    await page.route(f"**/{ids[0]}/messages", hold)
    for id in ids:
        await page.evaluate("hash => { location.hash = hash; }", f"#/{collection}/ask/{id}")
        if id == ids[0]:
            older = await held
    questions = page.get_by_role("article", name="Question")
    await expect(questions).to_have_text(["Which port?"])
    async with page.expect_response(f"**/{ids[0]}/messages") as answered:
        await older.continue_()
    await (await answered.value).finished()
    await page.unroute(f"**/{ids[0]}/messages")
    await page.evaluate("new Promise((done) => setTimeout(done))")
    await expect(questions).to_have_text(["Which port?"])
    for id in ids:
        await api.delete(f"/v1/conversations/{id}")
