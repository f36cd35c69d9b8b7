"""Two services that share a database: each sees what the other does, and of two that collide one wins."""

import asyncio
import os
from itertools import pairwise
from pathlib import Path

import pytest
from store_samples import document_of, ids_of, settings_of
from waiting import until

from index.errors import CollectionExists, CollectionNotFound, NameTaken, VersionConflict
from index.postgres import registry
from index.postgres.catalog import PostgresCatalog
from index.postgres.collection import PostgresCollection
from index.postgres.database import Database
from index.rows import DocumentPatch, Once, Receipt

Catalogs = tuple[PostgresCatalog, PostgresCatalog]
Both = tuple[PostgresCollection, PostgresCollection]


async def test_a_collection_that_one_makes_the_other_has_at_once(catalogs: Catalogs) -> None:
    one, other = catalogs
    made, is_new = await one.create(settings_of())
    assert is_new
    await made.upsert([document_of("a", 1)])
    assert await (await other.get("notes")).document("a") is not None
    assert other.names() == ["notes"]
    assert (await other.create(settings_of()))[1] is False
    with pytest.raises(CollectionExists):
        await other.create(settings_of(dim=3))


async def test_of_many_that_make_one_collection_one_makes_it(catalogs: Catalogs) -> None:
    made = await asyncio.gather(*(catalog.create(settings_of()) for catalog in catalogs * 4))
    assert sorted(is_new for _, is_new in made) == [False] * 7 + [True]


async def test_what_one_drops_is_gone_for_the_other(catalogs: Catalogs, both: Both) -> None:
    one, other = catalogs
    await both[1].upsert([document_of("a", 1)])
    await one.assign("alias", "notes")
    await one.drop("notes")
    for call in (both[1].upsert([document_of("b", 2)]), both[1].document("a"), both[1].settle([])):
        with pytest.raises(CollectionNotFound):
            await call

    async def is_heard() -> bool:
        return other.names() == [] and not other.aliases

    await until(is_heard)
    for name in ("notes", "alias"):
        with pytest.raises(CollectionNotFound):
            await other.get(name)


async def test_a_collection_that_is_in_use_is_dropped_later_and_holds_up_no_other_change(
    catalogs: Catalogs, both: Both, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_DROP_WAITS", "100ms")
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'DROP TABLE%'"
    )

    async def drop_waits() -> bool:
        return bool(await database.value(waiting))

    async with database.transaction() as connection:
        await connection.execute(f"SELECT FROM {both[0].tables.passages}")
        dropping = asyncio.create_task(catalogs[0].drop("notes"))
        await until(drop_waits)
        async with asyncio.timeout(20):
            await catalogs[1].create(settings_of("other"))
            await both[1].upsert([document_of("a", 1)])
        assert not dropping.done()
    await dropping
    assert catalogs[0].names() == ["other"]


async def test_the_collection_that_came_under_a_dropped_ones_name_is_another(
    catalogs: Catalogs, both: Both
) -> None:
    await both[0].upsert([document_of("a", 1)])
    await catalogs[0].drop("notes")
    await catalogs[0].create(settings_of(dim=3, metric="dot"))

    async def is_heard() -> bool:
        return (await catalogs[1].get("notes")).settings.dim == 3

    await until(is_heard)
    assert await (await catalogs[1].get("notes")).documents(9) == []


async def test_aliases_move_for_everybody(catalogs: Catalogs) -> None:
    one, other = catalogs
    for name in ("old", "new"):
        await one.create(settings_of(name))
    assert await one.assign("current", "old")
    assert (await other.get("current")).settings.name == "old"
    with pytest.raises(NameTaken):
        await other.create(settings_of("current"))
    with pytest.raises(NameTaken):
        await other.drop("current")
    await other.switch(["current"], "old", "new")

    async def has_moved() -> bool:
        return (await one.get("current")).settings.name == "new"

    await until(has_moved)
    assert await other.unassign("current")
    assert not await one.unassign("current")


async def test_a_description_that_one_changes_the_other_shows(both: Both) -> None:
    await both[0].describe("what it is for, \0 and more")

    async def is_heard() -> bool:
        return both[1].settings.description == both[0].settings.description == "what it is for, \0 and more"

    await until(is_heard)


async def test_of_writers_in_two_services_that_read_one_version_one_wins(both: Both) -> None:
    await both[0].upsert([document_of("a", 0)])
    outcomes = await asyncio.gather(
        *(both[n % 2].upsert([document_of("a", n, if_version=1)]) for n in range(1, 20)),
        *(both[n % 2].patch("a", DocumentPatch({"n": n}), versions={1}) for n in range(10)),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes].count(VersionConflict) == len(outcomes) - 1
    assert (await both[1].revisions(["a"]))["a"].version == 2


async def test_a_write_sent_to_both_services_under_one_key_is_carried_out_once(both: Both) -> None:
    once = Once("key", b"all it says")
    await asyncio.gather(*(both[n % 2].upsert([document_of("a", 1)], once=once) for n in range(10)))
    assert (await both[0].revisions(["a"]))["a"].version == 1
    jobs = await asyncio.gather(
        *(both[n % 2].add_job(f"job{n}", [b"x"], once=Once("other", b"x")) for n in range(10))
    )
    assert len(set(jobs)) == 1
    assert await both[1].unfinished_jobs() == [jobs[0]]


async def test_history_and_scroll_are_in_the_order_in_which_writes_are_seen(both: Both) -> None:
    """Whoever reads while many write meets every write, and none behind one that it has met already."""
    written = 60
    seen: list[int] = []

    async def write(n: int) -> None:
        await both[n % 2].upsert([document_of(f"d{n:02}", n, n + 100)])

    async def follow() -> list[str]:
        after, ids = 0, []
        while len(ids) < written:
            page = await both[0].changes(after, 7)
            seen.append(page.until)
            ids += [copy.document.id for copy in page.copies]
            after = page.until
        return ids

    async def scroll() -> list[str]:
        cursor, ids = None, []
        while len(ids) < 2 * written:
            page, following = await both[1].scroll(5, cursor)
            ids += ids_of(page)
            cursor = following or cursor
            if following is None:
                ids = ids[: len(ids) - len(page)]  # the last page is read again, until it is whole
                if len(ids) + len(page) == 2 * written:
                    return ids + ids_of(page)
        return ids

    followed, scrolled, *_ = await asyncio.gather(follow(), scroll(), *(write(n) for n in range(written)))
    assert sorted(followed) == [f"d{n:02}" for n in range(written)]
    assert all(one <= other for one, other in pairwise(seen))
    assert len(set(scrolled)) == len(scrolled) == 2 * written


async def test_receipts_of_both_services_are_counted_each_once(both: Both) -> None:
    await both[0].add_job("job", [b"x"] * 20)
    await asyncio.gather(
        *(
            both[n % 2].upsert([document_of(f"d{n // 2}", n)], [Receipt("job", n // 2, {"n": n}, passages=1)])
            for n in range(40)
        )
    )
    state = await both[1].job("job")
    assert state is not None
    assert (state.done, state.passages, state.finished_at is not None) == (20, 20, True)


async def test_a_write_does_not_wait_for_files_that_are_being_kept_nor_they_for_it(
    database: Database, both: Both, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "slow")
    (tmp_path / "file").write_bytes(b"content")
    keeping = asyncio.create_task(both[0].uploads.keep("job", {0: tmp_path / "file", 1: tmp_path / "slow"}))
    slow = await asyncio.to_thread((tmp_path / "slow").open, "wb")  # it is opened at the other end
    with slow:
        async with asyncio.timeout(20):
            await both[1].upsert([document_of("a", 1)])
        assert not keeping.done()
    await keeping
    async with database.transaction() as connection:
        await connection.execute("SELECT FROM collections FOR NO KEY UPDATE")  # as a write does
        async with asyncio.timeout(20):
            await both[1].uploads.keep("other", {0: tmp_path / "file"})


async def test_a_file_that_waits_is_brought_to_whichever_service_asks(both: Both, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    await both[0].uploads.keep("job", {0: tmp_path / "file"})
    async with both[1].uploads.fetched("job", [0]) as paths:
        assert paths[0].read_bytes() == b"content"
    assert not paths[0].exists()
