"""Searches: who answers them, and that what Milvus says is held against the truth."""

from pathlib import Path
from typing import Any

import pytest
from store_samples import document_of, ids_of, point_of, settings_of, vector_of

from index.filters import parse_filter
from index.milvus import search
from index.milvus.catalog import MilvusCatalog
from index.milvus.collection import MilvusCollection
from index.milvus.server import Near
from index.rows import Query, SearchResult


@pytest.fixture
async def filled(collection: MilvusCollection) -> MilvusCollection:
    """With the documents d0 to d19, of which those of even numbers have ``{"even": true}``."""
    await collection.upsert([document_of(f"d{n}", n, metadata={"even": n % 2 == 0}) for n in range(20)])
    return collection


@pytest.mark.parametrize(
    ("fields", "plan"),
    [
        ({}, "milvus"),
        ({"filter": parse_filter({"even": True})}, "filtered-milvus"),
        ({"text": "word3"}, "milvus+lexical"),
        ({"diversity": 0.5}, "milvus+mmr"),
        ({"exact": True}, "exact"),
        ({"vector": None, "text": "word3"}, "lexical"),
    ],
)
async def test_the_plan_says_who_answered(
    filled: MilvusCollection, fields: dict[str, Any], plan: str
) -> None:
    query = Query(**{"k": 3, "vector": vector_of(1), **fields})
    assert (await filled.search(query)).plan == plan


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
async def test_milvus_and_the_truth_give_the_same_scores(catalog: MilvusCatalog, metric: Any) -> None:
    collection, _ = await catalog.create(settings_of(metric=metric))
    await collection.mirror.caught_up()
    await collection.upsert([point_of(f"p{n}", n) for n in range(50)])
    for seed in range(60, 65):
        query = Query(20, vector=vector_of(seed))
        found, exact = await collection.search(query), await collection.truth.search(query)
        assert found.plan == "milvus"
        assert ids_of(found) == ids_of(exact)
        assert [hit.score for hit in found.hits] == pytest.approx([hit.score for hit in exact.hits], abs=1e-5)


async def test_where_milvus_misses_rows_the_truth_answers(
    filled: MilvusCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As its graph may do under a filter."""
    milvus = filled._milvus
    whole = milvus.search

    async def half(place: str, vectors: Any, limit: int, expression: str) -> Any:
        return [nears[::2] for nears in await whole(place, vectors, limit, expression)]

    monkeypatch.setattr(milvus, "search", half)
    result = await filled.search(Query(15, vector=vector_of(1), filter=parse_filter({"even": True})))
    assert (len(result.hits), result.plan) == (10, "filtered-exact")


async def test_what_milvus_finds_and_the_filter_does_not_mean_is_no_hit(
    filled: MilvusCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "expression_of", lambda _tree, _now: "moment >= 0")
    result = await filled.search(Query(7, vector=vector_of(1), filter=parse_filter({"even": True})))
    assert (len(result.hits), result.plan) == (7, "filtered-milvus")
    assert all(hit.metadata == {"even": True} for hit in result.hits)


async def test_what_was_found_by_words_and_does_not_match_any_more_is_no_hit(
    filled: MilvusCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when somebody is not to see it from between the two reads on."""
    find_words = filled.truth.search

    async def find_and_change(query: Query) -> SearchResult:
        found = await find_words(query)
        await filled.truth.upsert([document_of("d4", 4, metadata={"even": False})])
        return found

    async def find_nothing(*_: Any) -> list[list[Near]]:
        return [[]]

    async def count_nothing(*_: Any) -> int:
        return 0

    monkeypatch.setattr(filled.truth, "search", find_and_change)
    monkeypatch.setattr(filled._milvus, "search", find_nothing)
    monkeypatch.setattr(filled._milvus, "count", count_nothing)
    query = Query(5, vector=vector_of(1), text="word4", filter=parse_filter({"even": True}))
    result = await filled.search(query)
    assert (ids_of(result), result.plan) == ([], "filtered-milvus+lexical")


async def test_more_than_milvus_gives_at_once_is_answered_by_the_truth(filled: MilvusCollection) -> None:
    result = await filled.search(Query(20_000, vector=vector_of(1)))
    assert (len(result.hits), result.plan) == (20, "exact")


async def test_many_queries_at_once_find_what_each_finds(filled: MilvusCollection) -> None:
    queries = [Query(5, vector=vector_of(n)) for n in range(10)]
    queries += [Query(5, text="word7"), Query(3, vector=vector_of(3), filter=parse_filter({"even": True}))]
    together = await filled.search_many(queries)
    assert [ids_of(result) for result in together] == [ids_of(await filled.search(q)) for q in queries]
    assert [result.plan for result in together] == ["milvus"] * 10 + ["lexical", "filtered-milvus"]


async def test_queries_that_are_asked_together_see_what_each_would(filled: MilvusCollection) -> None:
    """Rows of a version that is not the document's any more."""
    await filled.truth.upsert([document_of("d1", 40, metadata={})])
    results = await filled.search_many([Query(20, vector=vector_of(n)) for n in range(3)])
    assert all(len(result.hits) == 20 for result in results)
    moved = [hit for hit in results[1].hits if hit.document_id == "d1"]
    assert [hit.text for hit in moved] == ["word40"]


async def test_token_vectors_come_with_the_hits(catalog: MilvusCatalog, tmp_path: Path) -> None:
    collection, _ = await catalog.create(settings_of(token_vectors="2bit"))
    await collection.mirror.caught_up()
    point = point_of("p", 1)
    packed = bytes(range(8))
    passage = point.passages[0].__class__(None, 0, 0, vector_of(1), token_vectors=packed)
    await collection.upsert([point.__class__(**{**_fields(point), "passages": (passage,)})])
    (hit,) = (await collection.search(Query(1, vector=vector_of(1), with_token_vectors=True))).hits
    assert hit.token_vectors == packed


def _fields(point: Any) -> dict[str, Any]:
    return {name: getattr(point, name) for name in point.__dataclass_fields__}
