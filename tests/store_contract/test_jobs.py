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
