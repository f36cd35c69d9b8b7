"""Jobs that meet what nobody foresaw: they come to an end, in order, and hold up nobody else."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from api.app import open_services
from api.services import jobs, passage_vectors
from api.services.container import Services
from api.services.incoming import Incoming
from api.services.ingest import Ingestor
from api.settings import Settings
from embedd.embedder import Embedder
from embedd.errors import ModelUnavailable
from index.errors import DataFolderInUse, OutcomeUnknown
from index.rows import CollectionSettings, Once
from index.store import Store

Refuse = Callable[[Store, Sequence[Incoming]], Awaitable[None]]


@pytest.fixture
def before_ingest(services: Services, monkeypatch: pytest.MonkeyPatch) -> Callable[[Refuse], None]:
    """Puts a step in front of every ingestion; what it raises, ingestion raises."""
    ingest = services.ingestor.ingest

    def install(step: Refuse) -> None:
        async def ingest_after(_: Ingestor, store: Store, documents: Sequence[Incoming], told: Any) -> Any:
            await step(store, documents)
            return await ingest(store, documents, told)

        monkeypatch.setattr(Ingestor, "ingest", ingest_after)

    return install


async def collection(services: Services, name: str) -> Store:
    card = services.models.embedder().card
    settings = CollectionSettings(
        name, card.dim, model=card.name, model_revision=card.revision, model_sha256=card.sha256
    )
    store, _ = await services.catalog.create(settings)
    return store


async def finished(store: Store, job_id: str) -> Any:
    while True:
        job = await store.job(job_id)
        if job is not None and job.finished_at is not None:
            return job
        await asyncio.sleep(0.01)


def texts(*ids: str, text: str = "The moon pulls the sea.") -> list[Incoming]:
    return [Incoming(id=id_, text=text, media_type="text/plain") for id_ in ids]


async def test_a_document_that_breaks_ingestion_fails_alone_and_the_runner_goes_on(
    services: Services, before_ingest: Callable[[Refuse], None]
) -> None:
    async def break_on_poison(store: Store, documents: Sequence[Incoming]) -> None:
        if any(document.id == "poison" for document in documents):
            raise ZeroDivisionError

    before_ingest(break_on_poison)
    store = await collection(services, "a")
    job = await finished(store, await services.jobs.submit(store, texts("one", "poison", "two")))
    assert (job.done, job.failed) == (3, 1)
    assert await store.document("two") is not None
    assert (await finished(store, await services.jobs.submit(store, texts("three")))).failed == 0


async def test_an_upload_that_is_gone_fails_its_document_alone(
    services: Services, before_ingest: Callable[[Refuse], None], tmp_path: Path
) -> None:
    async def lose(store: Store, documents: Sequence[Incoming]) -> None:
        for document in documents:
            if document.id == "gone" and document.upload is not None:
                document.upload.unlink(missing_ok=True)

    before_ingest(lose)
    store = await collection(services, "a")
    for name in ("kept", "gone"):
        (tmp_path / name).write_text("Spring tides come at new moon.")
    files = [Incoming(id=name, upload=tmp_path / name, filename=f"{name}.txt") for name in ("kept", "gone")]
    job_id = await services.jobs.submit(store, files)
    assert (await finished(store, job_id)).failed == 1
    results = [dict(result or {}) for result in await store.job_results(job_id)]
    assert [result["status"] for result in results] == ["ready", "failed"]
    assert "No such file" in results[1]["error"]


async def test_a_finished_job_leaves_no_uploads_behind(services: Services, tmp_path: Path) -> None:
    store = await collection(services, "a")
    (tmp_path / "file").write_text("Spring tides come at new moon.")
    upload = Incoming(id="file", upload=tmp_path / "file", filename="file.txt")
    await finished(store, await services.jobs.submit(store, [upload]))
    await finished(store, await services.jobs.submit(store, texts("behind it")))
    assert list((services.settings.data / "collections/a/uploads").iterdir()) == []


async def test_jobs_of_one_collection_run_in_the_order_they_came(
    services: Services, before_ingest: Callable[[Refuse], None]
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def hold_the_first(store: Store, documents: Sequence[Incoming]) -> None:
        if documents[0].text == "old words":
            begun.set()
            await go_on.wait()

    before_ingest(hold_the_first)
    store = await collection(services, "a")
    older = await services.jobs.submit(store, texts("x", text="old words"))
    await begun.wait()
    newer = await services.jobs.submit(store, texts("x", text="new words"))
    other = await collection(services, "b")
    await finished(other, await services.jobs.submit(other, texts("y")))
    go_on.set()
    await finished(store, older)
    await finished(store, newer)
    document = await store.document("x", with_text=True)
    assert document is not None
    assert document.text == "new words"


async def test_collections_whose_model_is_away_hold_up_no_other(
    services: Services, before_ingest: Callable[[Refuse], None]
) -> None:
    refused = asyncio.Semaphore(0)

    async def refuse_all_but_one(store: Store, documents: Sequence[Incoming]) -> None:
        if store.settings.name != "well":
            refused.release()
            raise ModelUnavailable("away", retry_after_s=1.0)

    before_ingest(refuse_all_but_one)
    for name in ("a", "b", "c"):
        await services.jobs.submit(await collection(services, name), texts("x"))
        await refused.acquire()
    well = await collection(services, "well")
    assert (await finished(well, await services.jobs.submit(well, texts("x")))).done == 1


async def test_a_client_that_leaves_during_submission_leaves_a_job_that_runs_now(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await collection(services, "a")
    add_job, called, go_on = store.add_job, asyncio.Event(), asyncio.Event()

    async def add_slowly(
        job_id: str, payloads: Sequence[bytes], once: Once | None, sizes: Sequence[int]
    ) -> str:
        called.set()
        await go_on.wait()
        return await add_job(job_id, payloads, once, sizes)

    monkeypatch.setattr(store, "add_job", add_slowly)
    submission = asyncio.create_task(services.jobs.submit(store, texts("x")))
    await called.wait()
    submission.cancel()
    go_on.set()
    await asyncio.wait([submission])
    assert submission.cancelled()
    await finished(store, await services.jobs.submit(store, texts("behind it")))
    assert await store.document("x") is not None


async def test_a_job_that_cannot_be_kept_leaves_no_uploads_behind(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(job_id: str, payloads: Sequence[bytes], once: Once | None, sizes: Sequence[int]) -> str:
        raise OverflowError

    store = await collection(services, "a")
    monkeypatch.setattr(store, "add_job", refuse)
    (tmp_path / "file").write_text("Spring tides come at new moon.")
    with pytest.raises(OverflowError):
        await services.jobs.submit(store, [Incoming(id="file", upload=tmp_path / "file")])
    assert list((services.settings.data / "collections/a/uploads").iterdir()) == []


async def test_a_job_that_may_have_been_kept_has_its_uploads(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await collection(services, "a")
    add_job = store.add_job

    async def add_unheard(*arguments: Any) -> str:
        await add_job(*arguments)
        raise OutcomeUnknown("nobody knows")

    monkeypatch.setattr(store, "add_job", add_unheard)
    (tmp_path / "file").write_text("Spring tides come at new moon.")
    upload = Incoming(id="file", upload=tmp_path / "file", filename="file.txt")
    with pytest.raises(OutcomeUnknown):
        await services.jobs.submit(store, [upload])
    [job_id] = await store.unfinished_jobs()
    await services.jobs.resume()
    assert (await finished(store, job_id)).failed == 0
    assert await store.document("file") is not None


async def test_a_job_of_a_dropped_collection_ends_and_the_runner_goes_on(
    services: Services, before_ingest: Callable[[Refuse], None]
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def hold(store: Store, documents: Sequence[Incoming]) -> None:
        if store.settings.name == "a":
            begun.set()
            await go_on.wait()

    before_ingest(hold)
    await services.jobs.submit(await collection(services, "a"), texts("x"))
    await begun.wait()
    await services.catalog.drop("a")
    go_on.set()
    other = await collection(services, "b")
    assert (await finished(other, await services.jobs.submit(other, texts("x")))).done == 1


async def test_a_job_that_goes_on_after_a_restart_counts_on_and_does_nothing_twice(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "ITEMS_AT_ONCE", 2)
    ingest, second_turn = Ingestor.ingest, asyncio.Event()

    async def stop_at_the_second_turn(self: Ingestor, store: Store, *others: Any) -> Any:
        if (await store.documents(1)) and not second_turn.is_set():
            second_turn.set()
            await asyncio.Event().wait()
        return await ingest(self, store, *others)

    monkeypatch.setattr(Ingestor, "ingest", stop_at_the_second_turn)
    async with open_services(settings) as services:
        await services.models.embedder().wait_ready()
        store = await collection(services, "a")
        job_id = await services.jobs.submit(store, texts("1", "2", "3", "4", "5"))
        await second_turn.wait()
        before = await store.job(job_id)
    async with open_services(settings) as services:
        store = await services.catalog.get("a")
        job = await finished(store, job_id)
        versions = [document.version for document in await store.documents(9)]
    assert before is not None
    assert (before.done, before.passages, before.done_bytes) == (2, 2, 2 * 23)
    assert (job.done, job.failed, job.passages, job.done_bytes, job.size_bytes) == (5, 0, 5, 5 * 23, 5 * 23)
    assert versions == [1] * 5


async def test_passages_are_counted_while_their_document_is_not_written_yet(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passage_vectors, "SLICE_PASSAGES", 2)
    embed, third, go_on = Embedder.embed, asyncio.Event(), asyncio.Event()
    slices = 0

    async def wait_at_the_third_slice(self: Embedder, *inputs: Any, **more: Any) -> Any:
        nonlocal slices
        slices += 1
        if slices == 3:
            third.set()
            await go_on.wait()
        return await embed(self, *inputs, **more)

    monkeypatch.setattr(Embedder, "embed", wait_at_the_third_slice)
    store = await collection(services, "a")
    text = "\n\n".join(f"# Part {n}\n\n" + f"word{n} " * 200 for n in range(8))
    job_id = await services.jobs.submit(store, [Incoming(id="x", text=text, media_type="text/markdown")])
    await third.wait()
    state = await store.job(job_id)
    assert state is not None
    standing = services.jobs.progress(state).standing
    assert (standing.documents, standing.passages) == (0, 4)
    go_on.set()
    job = await finished(store, job_id)
    assert services.jobs.progress(job).standing.passages == job.passages > 4


async def test_a_second_service_on_the_data_folder_does_not_touch_running_uploads(
    services: Services, settings: Settings
) -> None:
    upload = settings.data / "spool" / "running"
    upload.write_text("half an upload")
    with pytest.raises(DataFolderInUse):
        async with open_services(settings):
            pass
    assert upload.exists()
