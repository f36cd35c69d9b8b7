"""Jobs: items that wait, and outcomes that commit with what they wrote."""

import pytest
from store_samples import document_of, point_of

from index.errors import InvalidVector
from index.rows import Receipt
from index.store import Store


async def test_items_wait_in_their_order_until_they_are_settled(store: Store) -> None:
    await store.add_job("job", [b"a", b"", b"\x00\xff"])
    assert [(item.position, item.payload) for item in await store.pending_items("job", 2)] == [
        (0, b"a"),
        (1, b""),
    ]
    await store.settle([Receipt("job", 1, {"n": [1, None]}, failed=True)])
    assert [item.position for item in await store.pending_items("job", 9)] == [0, 2]
    assert await store.job_results("job") == [None, {"n": [1, None]}, None]
    state = await store.job("job")
    assert state is not None
    assert (state.total, state.done, state.failed, state.finished_at) == (3, 1, 1, None)


async def test_a_job_is_finished_when_all_its_items_are_settled(store: Store) -> None:
    await store.add_job("empty", [])
    await store.add_job("first", [b"a"])
    await store.add_job("second", [b"a"])
    assert await store.unfinished_jobs() == ["first", "second"]
    await store.upsert([document_of("a", 1)], [Receipt("first", 0, {"ok": True})])
    assert await store.unfinished_jobs() == ["second"]
    for id_ in ("empty", "first"):
        state = await store.job(id_)
        assert state is not None
        assert state.finished_at is not None


async def test_what_is_settled_or_unknown_stays_as_it_is(store: Store) -> None:
    await store.add_job("job", [b"a"])
    await store.settle([Receipt("job", 0, {"first": 1})])
    state = await store.job("job")
    await store.settle(
        [Receipt("job", 0, {"second": 1}, failed=True), Receipt("job", 7, {}), Receipt("x", 0, {})]
    )
    assert await store.job_results("job") == [{"first": 1}]
    after = await store.job("job")
    assert state is not None
    assert after is not None
    assert (after.done, after.failed, after.finished_at) == (1, 0, state.finished_at)
    assert await store.job("x") is None
    assert await store.job_results("x") == await store.pending_items("x", 9) == []


async def test_an_item_stays_open_if_what_it_wrote_was_refused(store: Store) -> None:
    await store.add_job("job", [b"a"])
    with pytest.raises(InvalidVector):
        await store.upsert([document_of("a", 1), point_of("b", vector=[1.0])], [Receipt("job", 0, {})])
    assert len(await store.pending_items("job", 9)) == 1
    assert await store.count() == 0


async def test_a_job_counts_what_its_items_stand_for_and_became(store: Store) -> None:
    await store.add_job("job", [b"a", b"bc", b"d"], sizes=[100, 20, 3])
    await store.settle([Receipt("job", 0, {}, passages=4), Receipt("job", 2, {}, failed=True)])
    await store.settle([Receipt("job", 0, {}, passages=9)])
    state = await store.job("job")
    assert state is not None
    assert (state.size_bytes, state.done_bytes, state.passages) == (123, 103, 4)
    assert (state.done, state.failed, state.cancelled) == (2, 1, False)


async def test_without_sizes_items_are_as_large_as_their_payloads(store: Store) -> None:
    await store.add_job("job", [b"a", b"bc"])
    state = await store.job("job")
    assert state is not None
    assert state.size_bytes == 3


async def test_a_cancelled_job_keeps_what_is_settled_and_nothing_else(store: Store) -> None:
    await store.add_job("job", [b"a", b"b", b"c"])
    await store.settle([Receipt("job", 1, {"kept": 1})])
    await store.cancel_job("job")
    await store.settle([Receipt("job", 2, {"late": 1})])
    state = await store.job("job")
    assert state is not None
    assert (state.done, state.total, state.cancelled) == (1, 3, True)
    assert state.finished_at is not None
    assert await store.job_results("job") == [{"kept": 1}]
    assert await store.pending_items("job", 9) == await store.unfinished_jobs() == []


async def test_a_job_that_has_ended_or_is_unknown_cannot_be_cancelled(store: Store) -> None:
    await store.add_job("job", [b"a"])
    await store.settle([Receipt("job", 0, {"kept": 1})])
    before = await store.job("job")
    await store.cancel_job("job")
    await store.cancel_job("none")
    assert await store.job("job") == before
    assert await store.job("none") is None


async def test_the_newest_jobs_come_first(store: Store) -> None:
    for name in ("a", "c", "b"):
        await store.add_job(name, [b""])
    assert [job.id for job in await store.jobs(2)] == ["b", "c"]
