"""A collection is embedded again with another model, while it is read and written."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from asking import Ask

from api.app import open_services
from api.services import copying, reembed
from api.services.container import Services
from api.services.copying import Copier, Step
from api.services.incoming import Outcome
from api.services.prepare import embed_documents
from api.settings import Settings
from embedd.embedder import Embedder
from embedd.errors import InvalidInput
from index.collection import Collection
from index.errors import InvalidVector, StorageFull
from index.rows import CollectionSettings, Document, DocumentPatch, Passage, Receipt, StoredDocument
from index.store import Store

Between = Callable[[Callable[[int], Awaitable[None]]], None]

OLD = CollectionSettings(
    "old", 3, "dot", "former", "1", "00", description="notes", tokenizer="unicode61", token_vectors="2bit"
)
ORDER = {"model": "fake", "into": "new", "switch": ["live"]}
PATH = "/v1/collections/old/reembed"
UNTIL_2999 = "2999-01-01T00:00:00.000Z"


def document(id_: str, text: str | None = None, **more: Any) -> Document:
    """One as a model that nobody runs any more has embedded it."""
    text = text or f"What {id_} says about the moon."
    passage = Passage(text, 0, len(text), np.ones(3, dtype=np.float32))
    return Document(id_, f"Title of {id_}", text, {"of": id_}, (passage,), content_hash=b"x", **more)


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reembed, "LINGER_S", 0.0)
    monkeypatch.setattr(reembed, "PAUSE_S", 0.01)


@pytest.fixture
async def old(services: Services) -> Store:
    """A collection of five documents, alias "live", whose model is not run."""
    store, _ = await services.catalog.create(OLD)
    await store.upsert([document(id_) for id_ in "abcd"])
    await store.upsert([document("e", expires_at=UNTIL_2999, acl=("team",))])
    await services.catalog.assign("live", "old")
    return store


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Between:
    """Has something done at the end of every pass, which is given its number from 1."""

    def install(act: Callable[[int], Awaitable[None]]) -> None:
        drop, ends = Copier.drop, 0

        async def drop_and_act(self: Copier, after: str | None, since: str | None) -> Step:
            nonlocal ends
            step = await drop(self, after, since)
            if step.after is None:
                ends += 1
                await act(ends)
            return step

        monkeypatch.setattr(Copier, "drop", drop_and_act)

    return install


async def finished(ask: Ask, job: Any) -> Any:
    while job["status"] != "finished":
        await asyncio.sleep(0.01)
        job = await ask("GET", f"/v1/jobs/{job['id']}")
    return job


async def reembedded(ask: Ask, **order: Any) -> Any:
    return await finished(ask, (await ask("POST", PATH, {**ORDER, **order}, status=202))["job"])


async def contents(store: Store) -> list[StoredDocument]:
    """What has to be the same in both collections."""
    listed = await store.documents(1000)
    whole = [await store.document(one.id, with_text=True) for one in listed]
    return [replace(one, content_hash=b"", passages=0, tokens=0) for one in whole if one]


async def test_every_document_is_there_under_the_new_model_with_its_version_and_times(
    ask: Ask, services: Services, old: Store
) -> None:
    await old.patch("a", DocumentPatch(metadata={"patched": True}))
    job = await reembedded(ask)
    assert (job["collection"], job["total"], job["done"], job["failed"]) == ("new", 5, 5, 0)
    assert (job["documents"], job["switched"]) == ([], ["live"])
    new, card = await services.catalog.get("new"), services.models.embedder().card
    expected = replace(OLD, name="new", dim=card.dim, quantization="none")
    assert new.settings == replace(
        expected, model="fake", model_revision=card.revision, model_sha256=card.sha256
    )
    assert await contents(new) == await contents(old)
    assert (await new.document("a")).version == 2  # type: ignore[union-attr]
    hits = await ask("POST", "/v1/collections/live/search", {"query": "What d says", "mode": "dense"})
    assert len(hits["hits"]) == 5


async def test_the_same_text_has_the_vectors_that_ingestion_gives_it(
    ask: Ask, services: Services, old: Store
) -> None:
    await reembedded(ask)
    await ask("PUT", "/v1/collections/fresh", {"token_vectors": "2bit"}, status=201)
    sent = [{"id": d.id, "title": d.title, "text": d.text} for d in await contents(old)]
    await ask("POST", "/v1/collections/fresh/documents?wait=true", {"documents": sent})
    ids = [f"{one['id']}#0" for one in sent]
    made, expected = [
        await (await services.catalog.get(name)).points(ids, with_vectors=True) for name in ("new", "fresh")
    ]
    for one, other in zip(made, expected, strict=True):
        assert (one.text, one.heading) == (other.text, other.heading)
        np.testing.assert_array_equal(one.vector, other.vector)


async def test_what_is_written_patched_and_deleted_on_the_way_is_followed(
    ask: Ask, services: Services, old: Store, between: Between
) -> None:
    async def write(end: int) -> None:
        if end == 1:
            await old.upsert([document("b", "Other words."), document("f")])
            await old.patch("c", DocumentPatch(title="Another title"))
            await old.delete(["d"])

    between(write)
    job = await reembedded(ask)
    assert job["total"] == 5
    new = await services.catalog.get("new")
    assert await contents(new) == await contents(old)
    assert [one.id for one in await new.documents(10)] == list("abcef")


async def test_a_document_deleted_and_written_again_is_copied_again(
    ask: Ask, services: Services, old: Store, between: Between
) -> None:
    async def write(end: int) -> None:
        if end == 1:
            await asyncio.sleep(0.002)  # versions and texts are the same; the times are not
            await old.delete(["a"])
            await old.upsert([document("a")])

    between(write)
    await reembedded(ask)
    assert await contents(await services.catalog.get("new")) == await contents(old)


async def test_aliases_wait_until_a_whole_pass_found_nothing(
    ask: Ask, services: Services, old: Store, between: Between
) -> None:
    stands_for = []

    async def write(end: int) -> None:
        stands_for.append(services.catalog.aliases["live"])
        if end < 4:
            await old.upsert([document("a", f"Words of pass {end}.")])

    between(write)
    await reembedded(ask)
    assert stands_for[:5] == ["old"] * 5
    assert stands_for[5] == "new"


async def test_writes_that_came_before_the_switch_are_brought_over_and_later_ones_stay(
    ask: Ask, services: Services, old: Store, between: Between
) -> None:
    async def write(end: int) -> None:
        new = await services.catalog.get("new")
        if end == 2:  # the last pass before the switch found nothing, and is over
            await asyncio.sleep(0.002)
            late = [document("late"), document("b", "Late words."), document("a", "Not the last.")]
            await old.upsert(late)
            await old.delete(["c"])
        if end == 3:  # the first one behind the switch
            await asyncio.sleep(0.002)
            vector = np.ones(new.settings.dim, dtype=np.float32)
            later = Document("a", "", "Newest.", {}, (Passage("Newest.", 0, 7, vector),))
            await new.upsert([later, replace(later, id="g")])
            await new.delete(["d"])

    between(write)
    assert (await reembedded(ask))["switched"] == ["live"]
    new = await services.catalog.get("new")
    texts = {one.id: one.text for one in await contents(new)}
    assert list(texts) == ["a", "b", "e", "g", "late"]
    assert (texts["a"], texts["b"]) == ("Newest.", "Late words.")


async def test_documents_that_fail_are_named_and_the_aliases_stay(
    ask: Ask, services: Services, old: Store
) -> None:
    point = Document("p", "", None, {}, (Passage(None, 0, 0, np.ones(3, dtype=np.float32)),), is_point=True)
    await old.upsert([point])
    job = await reembedded(ask)
    assert (job["total"], job["done"], job["failed"], job["switched"]) == (6, 6, 1, [])
    assert [(one["id"], one["status"]) for one in job["documents"]] == [("p", "failed")]
    assert "without a text" in job["documents"][0]["error"]
    assert "aliases stay" in job["error"]
    assert services.catalog.aliases["live"] == "old"
    assert len(await (await services.catalog.get("new")).documents(10)) == 5


@pytest.mark.parametrize("error", [InvalidInput("poison"), ZeroDivisionError()])
async def test_a_document_that_breaks_embedding_fails_alone(
    ask: Ask, old: Store, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    embed = embed_documents

    async def refuse_poison(embedder: Embedder, prepared: Sequence[Any], store: Store) -> Any:
        if any("poison" in text for one in prepared for text in one.texts):
            if len(prepared) > 1 and isinstance(error, InvalidInput):
                return [one for each in prepared for one in await refuse_poison(embedder, [each], store)]
            if isinstance(error, InvalidInput):
                return [Outcome(prepared[0].document.id, "failed", error=str(error))]
            raise error
        return await embed(embedder, prepared, store)

    monkeypatch.setattr(copying, "embed_documents", refuse_poison)
    await old.upsert([document("c", "poison")])
    job = await reembedded(ask, switch=[])
    assert [one["id"] for one in job["documents"]] == ["c"]
    assert (job["done"], job["failed"]) == (5, 1)


async def test_a_document_that_cannot_be_stored_fails_alone(
    ask: Ask, old: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    upsert = Collection.upsert

    async def refuse_c(self: Collection, new: Sequence[Document], *more: Any, **named: Any) -> None:
        if any(one.id == "c" for one in new):
            raise InvalidVector("a vector of zeros")
        await upsert(self, new, *more, **named)

    monkeypatch.setattr(Collection, "upsert", refuse_c)
    job = await reembedded(ask)
    assert [(one["id"], one["error"]) for one in job["documents"]] == [("c", "a vector of zeros")]
    assert (job["done"], job["failed"], job["switched"]) == (5, 1, [])


async def test_an_order_that_cannot_be_kept_leaves_no_collection(
    ask: Ask, services: Services, old: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any) -> str:
        raise StorageFull("no space is left")

    monkeypatch.setattr(Collection, "add_job", refuse)
    await ask("POST", PATH, ORDER, status=507)
    assert services.catalog.names() == ["old"]


async def test_a_failed_document_is_no_failure_once_it_is_deleted(
    ask: Ask, services: Services, old: Store, between: Between
) -> None:
    async def delete(end: int) -> None:
        if end == 1:
            await old.delete(["p"])

    await old.upsert([replace(document("p"), is_point=True)])
    between(delete)
    job = await reembedded(ask)
    assert (job["failed"], job["switched"]) == (0, ["live"])


async def test_a_document_without_words_is_copied_too(ask: Ask, services: Services, old: Store) -> None:
    await old.upsert([Document("blank", "", " ", {}, ())])
    assert (await reembedded(ask))["failed"] == 0
    assert await contents(await services.catalog.get("new")) == await contents(old)


async def test_pages_are_kept_as_far_as_passages_know_them(ask: Ask, services: Services, old: Store) -> None:
    text = "First page.\n\nThird page, of a scan."
    passages = tuple(
        Passage(text[start:end], start, end, np.ones(3, dtype=np.float32), page=page)
        for start, end, page in ((0, 11, 1), (13, len(text), 3))
    )
    await old.upsert([replace(document("pdf", text), passages=passages, media_type="application/pdf")])
    await reembedded(ask)
    (point,) = await (await services.catalog.get("new")).points(["pdf#0"])
    assert point.page == 1


async def test_many_documents_take_many_steps(
    ask: Ask, services: Services, old: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "PAGE", 7)
    monkeypatch.setattr(copying, "COPIES_AT_ONCE", 5)
    monkeypatch.setattr(copying, "WINDOW_DOCUMENTS", 2)
    await old.upsert([document(f"n{number:02}") for number in range(40)])
    assert (await reembedded(ask))["total"] == 45
    assert await contents(await services.catalog.get("new")) == await contents(old)


async def test_documents_that_were_accepted_before_are_waited_for(
    ask: Ask, services: Services, old: Store, between: Between
) -> None:
    await old.add_job("old.waiting", [b""])

    async def end_it(end: int) -> None:
        if end == 4:
            assert services.catalog.aliases["live"] == "old"
            await old.settle([Receipt("old.waiting", 0, {"id": "x", "status": "failed"})])

    between(end_it)
    assert (await reembedded(ask))["switched"] == ["live"]


async def test_the_same_order_again_is_the_job_under_way_and_another_one_a_conflict(
    ask: Ask, old: Store, between: Between
) -> None:
    go_on = asyncio.Event()
    between(lambda _: go_on.wait())  # type: ignore[arg-type,return-value]
    first = (await ask("POST", PATH, ORDER, status=202))["job"]
    assert (await ask("POST", PATH, ORDER, status=202))["job"]["id"] == first["id"]
    other = await ask("POST", PATH, {**ORDER, "switch": []}, status=409)
    assert (other["error"]["code"], other["error"]["param"]) == ("collection_exists", "into")
    go_on.set()
    await finished(ask, first)
    await ask("POST", PATH, ORDER, status=409)


@pytest.mark.parametrize(
    ("order", "refusal"),
    [
        ({"into": "old"}, (409, "collection_exists")),
        ({"into": "live"}, (409, "name_taken")),
        ({"into": "No"}, (422, "invalid_name")),
        ({"switch": ["nobody"]}, (409, "alias_not_found")),
        ({"switch": ["elsewhere"]}, (409, "alias_not_found")),
        ({"model": "unknown"}, (404, "model_not_found")),
    ],
)
async def test_what_makes_no_sense_is_refused_and_makes_nothing(
    ask: Ask, services: Services, old: Store, order: Any, refusal: tuple[int, str]
) -> None:
    await ask("PUT", "/v1/collections/other", {}, status=201)
    await services.catalog.assign("elsewhere", "other")
    status, code = refusal
    assert (await ask("POST", PATH, {**ORDER, **order}, status=status))["error"]["code"] == code
    assert services.catalog.names() == ["old", "other"]


async def test_a_collection_of_vectors_that_clients_brought_is_refused(ask: Ask, services: Services) -> None:
    await ask("PUT", "/v1/collections/mine", {"dim": 2}, status=201)
    error = (await ask("POST", "/v1/collections/mine/reembed", {**ORDER, "switch": []}, status=422))["error"]
    assert "no embedding model" in error["message"]
    assert services.catalog.names() == ["mine"]


async def test_without_its_source_a_job_ends_and_says_so(
    ask: Ask, services: Services, old: Store, between: Between
) -> None:
    async def drop(end: int) -> None:
        if end == 1:
            await services.catalog.drop("old")

    between(drop)
    job = await reembedded(ask)
    assert "there is no collection 'old'" in job["error"]
    assert job["switched"] == []


async def test_a_source_deleted_behind_the_switch_takes_nothing_along(
    ask: Ask, services: Services, old: Store, between: Between
) -> None:
    async def drop(end: int) -> None:
        if end == 3:
            await services.catalog.drop("old")

    between(drop)
    job = await reembedded(ask)
    assert (job["switched"], "error" in job) == (["live"], False)
    assert (await ask("GET", "/v1/collections/live"))["documents"] == 5


async def test_an_alias_that_was_given_away_meanwhile_is_left_alone(
    ask: Ask, services: Services, old: Store, between: Between
) -> None:
    await ask("PUT", "/v1/collections/other", {}, status=201)

    async def assign(end: int) -> None:
        if end == 1:
            await services.catalog.assign("live", "other")

    between(assign)
    job = await reembedded(ask)
    assert "'live' is no alias of 'old'" in job["error"]
    assert services.catalog.aliases["live"] == "other"


async def test_deleting_the_new_collection_ends_the_job(
    ask: Ask, services: Services, old: Store, between: Between
) -> None:
    dropped = asyncio.Event()

    async def drop(end: int) -> None:
        if not dropped.is_set():
            await services.catalog.drop("new")
            dropped.set()

    between(drop)
    await ask("POST", PATH, ORDER, status=202)
    await dropped.wait()
    assert (await reembedded(ask))["switched"] == ["live"]


@pytest.mark.parametrize("end_of_pass", [1, 3])
async def test_a_job_goes_on_after_a_restart(settings: Settings, between: Between, end_of_pass: int) -> None:
    """Cut short within the copying, and right behind the switch."""
    reached, blocked = asyncio.Event(), asyncio.Event()

    async def stop(end: int) -> None:
        if end == end_of_pass:
            reached.set()
            await blocked.wait()

    between(stop)
    async with open_services(settings) as services:
        old, _ = await services.catalog.create(OLD)
        await old.upsert([document(id_) for id_ in "abc"])
        await services.catalog.assign("live", "old")
        job_id = await services.jobs.reembed(old, "fake", "new", ["live"])
        await reached.wait()
        await (await services.catalog.get(services.catalog.aliases["live"])).delete(["c"])
    async with open_services(settings) as services:
        new = await services.catalog.get("new")
        await services.jobs.finished(new, job_id)
        progress = await services.reembedder.progress(new, job_id)
        assert (progress.switched, progress.failures) == (["live"], [])
        assert [one.id for one in await (await services.catalog.get("live")).documents(10)] == ["a", "b"]


async def test_a_cancelled_job_leaves_its_copies_and_every_alias_where_they_are(
    ask: Ask, old: Store, services: Services, between: Between
) -> None:
    await old.add_job("old.waiting", [b""])  # so that it is never caught up with
    copied = asyncio.Event()

    async def go_on(_: int) -> None:
        copied.set()

    between(go_on)
    job_id = (await ask("POST", PATH, ORDER, status=202))["job"]["id"]
    await copied.wait()
    cancelled = await ask("DELETE", f"/v1/jobs/{job_id}")
    assert (cancelled["status"], cancelled["done"], cancelled["switched"]) == ("cancelled", 5, [])
    assert services.catalog.aliases["live"] == "old"
    assert len(await (await services.catalog.get("new")).documents(9)) == 5
    assert await (await services.catalog.get("new")).unfinished_jobs() == []
