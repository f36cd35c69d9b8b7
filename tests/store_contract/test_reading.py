"""Lists, cursors, counts and facets."""

from typing import Any

import numpy as np
import pytest
from store_samples import document_of, ids_of, point_of, settings_of, vector_of

from index.filters import parse_filter
from index.rows import DocumentPatch
from index.store import Store


async def test_documents_are_listed_by_code_points_page_by_page(store: Store) -> None:
    ids = ["a", "A", "Z", "ä", "\U0001f600", "\uffff", "a/b", "a b", "10", "9"]
    await store.upsert([document_of(id_, n, text="x") for n, id_ in enumerate(ids, 1)])
    listed, after = [], None
    while page := await store.documents(3, after):
        assert len(page) <= 3
        listed += [document.id for document in page]
        after = listed[-1]
    assert listed == sorted(ids)
    assert [document.id for document in await store.documents(2, "a")] == ["a b", "a/b"]
    assert [document.id for document in await store.documents(9, "nobody")] == ["ä", "\uffff", "\U0001f600"]


async def test_copies_are_all_documents_whole_and_in_order(store: Store) -> None:
    await store.upsert([document_of(f"d{n:03}", *range(n % 40)) for n in range(60)])
    copied, after = [], None
    while page := await store.copies(after):
        copied += page
        after = page[-1].document.id
    assert [copy.document.id for copy in copied] == [f"d{n:03}" for n in range(60)]
    for n, copy in enumerate(copied):
        vectors = [passage.vector.tobytes() for passage in copy.document.passages]
        assert vectors == [vector_of(seed).tobytes() for seed in range(n % 40)]
    assert {copy.document.id: copy.stamps for copy in copied} == await store.stamps(
        [f"d{n:03}" for n in range(60)]
    )


async def test_points_come_in_the_order_asked_without_those_that_are_not_there(store: Store) -> None:
    await store.upsert([document_of("a", 1, 2), point_of("p", 3)])
    found = await store.points(["p", "none", "a#1", "a", "a#0", "a#2"], with_vectors=True)
    assert ids_of(found) == ["p", "a#1", "a#0"]
    expected = [vector_of(seed) for seed in (3, 2, 1)]
    assert all(np.array_equal(point.vector, row) for point, row in zip(found, expected, strict=True))
    assert await store.points([]) == []


async def test_a_sample_is_spread_evenly_over_all_points_with_their_vectors(store: Store) -> None:
    assert await store.sample(5) == []
    await store.upsert([point_of(f"p{n}", n + 1) for n in range(9)])
    assert ids_of(await store.sample(9)) == ids_of(await store.sample(99)) == [f"p{n}" for n in range(9)]
    found = await store.sample(3)
    assert ids_of(found) == ["p0", "p4", "p8"]
    expected = [vector_of(seed) for seed in (1, 5, 9)]
    assert all(np.array_equal(point.vector, row) for point, row in zip(found, expected, strict=True))
    await store.delete(["p0", "p4"])
    assert ids_of(await store.sample(3)) == ["p1", "p5", "p8"]


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
async def test_a_scroll_meets_every_point_once_in_the_order_written(store: Store, limit: int) -> None:
    for n in range(5):
        await store.upsert([document_of(f"d{n}", n, n + 10), point_of(f"p{n}", n, metadata={"odd": n % 2})])
    expected = [id_ for n in range(5) for id_ in (f"d{n}#0", f"d{n}#1", f"p{n}")]
    assert await scrolled(store, limit) == expected
    assert await scrolled(store, limit, parse_filter({"odd": 1})) == ["p1", "p3"]
    assert await scrolled(store, limit, parse_filter({"odd": 2})) == []


async def scrolled(store: Store, limit: int, condition: Any = None) -> list[str]:
    found, after = [], None
    while True:
        page, after = await store.scroll(limit, after, condition)
        assert len(page) <= limit
        found += ids_of(page)
        if after is None:
            return found


async def test_writes_on_the_way_move_nothing_in_a_scroll(store: Store) -> None:
    await store.upsert([point_of(f"p{n}", n) for n in range(10)])
    first, cursor = await store.scroll(4)
    await store.delete(["p0", "p5"])
    await store.upsert([point_of("p1", 21), point_of("p6", 26), point_of("new", 30)])
    await store.patch("p7", DocumentPatch({"k": 1}))
    rest, after = await store.scroll(99, cursor)
    assert ids_of(first) == ["p0", "p1", "p2", "p3"]
    assert ids_of(rest) == ["p4", "p7", "p8", "p9", "p1", "p6", "new"]
    assert after is None
    # The cursor holds even where what it stood behind is gone.
    await store.delete([f"p{n}" for n in range(10)])
    assert ids_of((await store.scroll(99, cursor))[0]) == ["new"]


async def test_facets_count_points_by_value_and_type(store: Store) -> None:
    values = [1, 1.0, True, "1", None, None, ["x", "x", "y"], ["x"], {"k": 1}, [], [[1]]]
    await store.upsert([point_of(f"p{n}", n, metadata={"k": value}) for n, value in enumerate(values)])
    await store.upsert([document_of("d", 1, 2, 3, metadata={"k": "y"}), point_of("bare", 1)])
    found = await store.facets("k", 99)
    counted = {
        (type(one.value) if isinstance(one.value, bool) else None, one.value): one.points
        for one in found.values
    }
    assert counted == {
        (None, "y"): 4,
        (None, 1): 2,
        (None, None): 2,
        (None, "x"): 2,
        (bool, True): 1,
        (None, "1"): 1,
    }
    assert found.total == 6
    assert [one.points for one in found.values] == sorted((one.points for one in found.values), reverse=True)
    few = await store.facets("k", 2)
    assert (few.values, few.total) == (found.values[:2], 6)
    assert (await store.facets("nothing", 9)).values == ()
    only = await store.facets("k", 9, parse_filter({"k": {"$contains": "x"}}))
    assert [(one.value, one.points) for one in only.values] == [("x", 2), ("y", 1)]


async def test_facets_of_a_path_and_of_ids(store: Store) -> None:
    await store.upsert(
        [
            document_of("a", 1, 2, metadata={"meta": {"lang": "en"}}),
            document_of("b", 3, metadata={"meta.lang": "de", "meta": {"lang": "en"}}),
        ]
    )
    assert [(one.value, one.points) for one in (await store.facets("meta.lang", 9)).values] == [
        ("en", 2),
        ("de", 1),
    ]
    assert [(one.value, one.points) for one in (await store.facets("document_id", 9)).values] == [
        ("a", 2),
        ("b", 1),
    ]


async def test_counts_follow_every_write(store: Store) -> None:
    condition = parse_filter({"k": 1})
    await store.upsert([document_of("a", 1, 2, metadata={"k": 1}), point_of("p", 3), document_of("empty")])
    assert (await store.count(), await store.count(condition)) == (3, 2)
    await store.patch("p", DocumentPatch({"k": 1}))
    assert (await store.count(), await store.count(condition)) == (3, 3)
    await store.upsert([document_of("a", 1)])
    assert (await store.count(), await store.count(condition)) == (2, 1)
    await store.delete(["p"])
    assert (await store.count(), await store.count(condition)) == (1, 0)
    statistics = await store.statistics()
    assert (statistics.documents, statistics.points) == (2, 1)
    assert statistics.size_bytes > 0


async def test_a_collection_says_what_it_is(stores: Any) -> None:
    settings = settings_of("all-set", dim=3, metric="l2", model="m", model_revision="r", model_sha256="s")
    store = await stores.create(settings)
    assert store.settings == settings
    await store.describe("für \U0001f600")
    again = await stores.restart("all-set")
    assert again.settings == settings_of(
        "all-set",
        dim=3,
        metric="l2",
        model="m",
        model_revision="r",
        model_sha256="s",
        description="für \U0001f600",
    )
