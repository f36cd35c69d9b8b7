"""What cannot be asked is refused by its name."""

from typing import Any

import pytest
from store_samples import document_of, everything_of, point_of, settings_of, vector_of

from index.errors import (
    CollectionNotFound,
    InvalidCursor,
    InvalidFilter,
    InvalidId,
    InvalidQuery,
    InvalidSettings,
)
from index.filters import parse_filter
from index.rows import DocumentPatch, Fusion, Once, Query
from index.store import Store


@pytest.mark.parametrize(
    "query",
    [
        Query(0, vector=vector_of(1)),
        Query(-1, text="word1"),
        Query(1),
        Query(1, text="word1", mode="dense"),
        Query(1, vector=vector_of(1), mode="lexical"),
        Query(1, vector=vector_of(1), min_score=float("nan")),
        Query(1, text="word1", min_score=float("nan"), group_by="document"),
        Query(1, vector=vector_of(1), diversity=1.1),
        Query(1, vector=vector_of(1), diversity=float("nan")),
        Query(1, vector=vector_of(1), text="word1", fusion=Fusion(dense_weight=-0.1)),
        Query(1, vector=vector_of(1), text="word1", fusion=Fusion(dense_weight=float("nan"))),
    ],
)
async def test_a_query_that_means_nothing_is_refused(filled: Store, query: Query) -> None:
    with pytest.raises(InvalidQuery):
        await filled.search(query)


def deep(levels: int) -> dict[str, Any]:
    source: dict[str, Any] = {"n": 1}
    for n in range(levels):
        source = {"$not": source} if n % 2 else {"$and": [source]}
    return source


@pytest.mark.parametrize(
    ("source", "operator"),
    [
        ({"n": {"$regex": "x"}}, "$regex"),
        ({"$nor": [{"n": 1}]}, "$nor"),
        ({"n": {"$gt": True}}, "$gt"),
        ({"n": {"$gt": None}}, "$gt"),
        ({"n": {"$lt": [1]}}, "$lt"),
        ({"n": {"$in": 1}}, "$in"),
        ({"n": {"$nin": [[1]]}}, "$nin"),
        ({"n": {"$eq": {"a": 1}}}, "$eq"),
        ({"n": [1]}, "$eq"),
        ({"n": {"$exists": 1}}, "$exists"),
        ({"n": {"$contains": [1]}}, "$contains"),
        ({"n": {"$gt": float("nan")}}, "$gt"),
        ({"n": {"$eq": float("inf")}}, "$eq"),
        ({"n": {"$not": {"$gt": 1}}}, "$not"),
        ({"$and": []}, "$and"),
        ({"$or": {"n": 1}}, "$or"),
        ({"$not": [{"n": 1}]}, None),
        ({"n": {}}, None),
        ({"\ud800": 1}, None),
        ([], None),
        ("n = 1", None),
        (deep(1_000), None),
        ({"$or": [{"n": n} for n in range(1_000)]}, None),
        ({"n": {"$in": list(range(10_001))}}, "$in"),
        ({"a" + ".a" * 1_000: 1}, None),
    ],
)
def test_a_filter_that_is_none_is_refused_by_its_operator(source: Any, operator: str | None) -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse_filter(source)
    assert caught.value.operator == operator
    assert operator is None or operator in str(caught.value)


async def test_a_cursor_is_taken_by_none_but_the_collection_that_gave_it(stores: Any, filled: Store) -> None:
    other = await stores.create(settings_of("other"))
    await other.upsert([point_of("p1", 1), point_of("p2", 2)])
    _, foreign = await other.scroll(1)
    _, own = await filled.scroll(1)
    swapped = own[:-1] + ("A" if own[-1] != "A" else "B")
    for cursor in (foreign, swapped, own[:-1], f"{own}A", f"{own}=", f" {own}", "", "0", "1", "ü", "\0"):
        with pytest.raises(InvalidCursor):
            await filled.scroll(1, cursor)
    assert len((await filled.scroll(9, own))[0]) == 2


async def test_a_cursor_of_a_collection_that_had_the_name_before_is_refused(
    stores: Any, filled: Store
) -> None:
    _, old = await filled.scroll(1)
    await stores.drop("notes")
    again = await stores.create(settings_of())
    await again.upsert([document_of("kept", 1, 2)])
    with pytest.raises(InvalidCursor):
        await again.scroll(1, old)
    with pytest.raises(CollectionNotFound):
        await filled.scroll(1, old)


async def test_a_job_needs_an_id_of_its_own(filled: Store) -> None:
    for id_ in ("job", "", "a\0", "x" * 513):
        with pytest.raises(InvalidId):
            await filled.add_job(id_, [b"y"])
    assert [item.payload for item in await filled.pending_items("job", 9)] == [b"x"]


NO_UNICODE = ["\ud800", "kept\udfff", "\udc00\ud800", "\ud83d\0"]


@pytest.mark.parametrize("text", NO_UNICODE, ids=ascii)
async def test_text_that_is_no_unicode_is_nobodys_id_key_or_word(filled: Store, text: str) -> None:
    before = await everything_of(filled)
    assert await filled.document(text) is None
    assert await filled.points([text]) == []
    assert await filled.revisions([text]) == {}
    assert await filled.stamps([text]) == {}
    assert await filled.delete([text]) == 0
    assert (await filled.facets(text, 9)).total == 0
    assert (await filled.facets("n", 9)).total == 1
    assert await filled.job(text) is None
    assert await filled.job_results(text) == []
    assert await filled.pending_items(text, 9) == []
    assert (await filled.search(Query(9, text=text.replace("kept", "")))).hits == ()
    assert await filled.idf([text]) == {}
    assert await everything_of(filled) == before


@pytest.mark.parametrize("text", NO_UNICODE, ids=ascii)
async def test_text_that_is_no_unicode_is_kept_nowhere(stores: Any, filled: Store, text: str) -> None:
    before = await everything_of(filled)
    with pytest.raises(InvalidId):
        await filled.patch(text, DocumentPatch({"n": 2}))
    with pytest.raises(InvalidId):
        await filled.add_job(text, [b"y"])
    for once in (
        lambda: filled.upsert([document_of("new", 4)], once=Once(text, b"1")),
        lambda: filled.delete(["kept"], once=Once(text, b"1")),
        lambda: filled.remembered(Once(text, b"1")),
    ):
        with pytest.raises(InvalidId):
            await once()
    with pytest.raises(InvalidCursor):
        await filled.scroll(9, text)
    with pytest.raises(InvalidSettings):
        await filled.describe(text)
    with pytest.raises(InvalidSettings):
        await stores.create(settings_of("other", description=text))
    assert await everything_of(filled) == before
    await stores.create(settings_of("other"))


async def test_any_text_is_a_place_among_the_ids(store: Store) -> None:
    ids = sorted(["a", "a b", "b", "\ud7ff", "\ue000", "\uffff", "\U0001f600"])
    await store.upsert([document_of(id_, 1) for id_ in ids])
    for after in [
        "",
        "a",
        "a\0b",
        "aa",
        "\ud800",
        "\udfffz",
        "\ud800\udc00",
        "\ue000\ud800",
        "\U0010ffff\ud800",
    ]:
        behind = [id_ for id_ in ids if id_ > after]
        assert [document.id for document in await store.documents(99, after)] == behind, ascii(after)
        assert [copy.document.id for copy in await store.copies(after)] == behind, ascii(after)
