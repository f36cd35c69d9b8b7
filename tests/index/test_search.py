"""Search: modes, scores, filters, and how few hits there may be."""

from collections.abc import Callable

import numpy as np
import pytest

from index import dense, points, search
from index.catalog import Catalog
from index.collection import Collection
from index.errors import InvalidQuery, InvalidVector, StorageFailed
from index.filters import parse_filter
from index.rows import CollectionSettings, Document, Query

Make = Callable[..., Document]


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
async def test_the_dense_score_is_the_metric_and_higher_is_better(
    catalog: Catalog, make_document: Make, make_vector: Callable, metric: str
) -> None:
    collection, _ = await catalog.create(CollectionSettings(metric, 8, metric))
    await collection.upsert([make_document(f"d{n}", n) for n in range(20)])
    query = make_vector(77)
    measures = {
        "cosine": lambda v: float(v @ query / np.linalg.norm(v) / np.linalg.norm(query)),
        "dot": lambda v: float(v @ query),
        "l2": lambda v: -float(np.linalg.norm(v - query)),
    }
    expected = sorted(((measures[metric](make_vector(n)), f"d{n}") for n in range(20)), reverse=True)
    result = await collection.search(Query(20, vector=query, mode="dense"))
    assert result.plan == "exact"
    assert [hit.document_id for hit in result.hits] == [id_ for _, id_ in expected]
    np.testing.assert_allclose([hit.score for hit in result.hits], [s for s, _ in expected], atol=1e-5)
    assert all(hit.scores == {"dense": hit.score} for hit in result.hits)


async def test_words_are_scored_by_bm25_above_zero(collection: Collection, make_document: Make) -> None:
    await collection.upsert([make_document("a", 1, 2), make_document("b", 1), make_document("c", 3)])
    result = await collection.search(Query(9, text="the word1?", mode="lexical"))
    assert result.plan == "lexical"
    assert sorted(hit.id for hit in result.hits) == ["a#0", "b#0"]
    assert all(hit.score == hit.scores["lexical"] > 0 for hit in result.hits)


async def test_titles_and_headings_are_searched(collection: Collection, make_document: Make) -> None:
    await collection.upsert([make_document("a", 1, title="Zebras"), make_document("b", 2)])
    assert [hit.id for hit in (await collection.search(Query(9, text="zebra"))).hits] == ["a#0"]


async def test_hybrid_has_both_scores_and_fills_the_dense_one(
    collection: Collection, make_document: Make, make_vector: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "DEPTH", 5)
    await collection.upsert([make_document(f"d{n}", n) for n in range(40)])
    query = Query(5, vector=make_vector(3), text="word30")
    result = await collection.search(query)
    assert result.plan == "exact+lexical"
    dense = {hit.id: hit.score for hit in (await collection.search(Query(40, vector=make_vector(3)))).hits}
    found = {hit.id: hit for hit in result.hits}
    assert set(found) >= {"d3#0", "d30#0"}
    assert set(found["d30#0"].scores) == {"dense", "lexical"}
    for hit in result.hits:
        assert hit.scores["dense"] == pytest.approx(dense[hit.id], abs=1e-6)
    assert [hit.score for hit in result.hits] == sorted((h.score for h in result.hits), reverse=True)


async def test_hybrid_makes_do_with_what_there_is(
    collection: Collection, make_document: Make, make_vector: Callable
) -> None:
    await collection.upsert([make_document("a", 1)])
    assert (await collection.search(Query(1, vector=make_vector(1)))).plan == "exact"
    assert (await collection.search(Query(1, text="word1"))).plan == "lexical"
    wordless = await collection.search(Query(1, vector=make_vector(1), text="?!"))
    assert [hit.id for hit in wordless.hits] == ["a#0"]


async def test_min_score_is_held_against_the_dense_score_or_else_bm25(
    collection: Collection, make_document: Make, make_vector: Callable
) -> None:
    await collection.upsert([make_document(f"d{n}", n) for n in range(30)])
    everything = await collection.search(Query(30, vector=make_vector(3), text="word3 word4"))
    least = sorted(hit.scores["dense"] for hit in everything.hits)[20]
    result = await collection.search(Query(30, vector=make_vector(3), text="word3 word4", min_score=least))
    assert len(result.hits) == 10
    assert all(hit.scores["dense"] >= least for hit in result.hits)
    lexical = await collection.search(Query(30, text="word3", mode="lexical", min_score=0.1))
    assert [hit.document_id for hit in lexical.hits] == ["d3"]
    assert (await collection.search(Query(30, text="word3", mode="lexical", min_score=99))).hits == ()


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
async def test_filters_hold_in_every_mode(
    collection: Collection, make_document: Make, make_vector: Callable, mode: str
) -> None:
    await collection.upsert(
        [make_document(f"d{n}", 1, metadata={"n": n, "lang": "en" if n % 2 else "de"}) for n in range(20)]
    )
    only = parse_filter({"lang": "en", "n": {"$gte": 7}})
    result = await collection.search(
        Query(50, vector=make_vector(1), text="word1", mode=mode, filter=only)  # type: ignore[arg-type]
    )
    assert {hit.document_id for hit in result.hits} == {f"d{n}" for n in range(7, 20, 2)}
    by_id = parse_filter({"document_id": {"$in": ["d4", "d5"]}})
    few = await collection.search(Query(50, vector=make_vector(1), text="word1", mode=mode, filter=by_id))  # type: ignore[arg-type]
    assert {hit.document_id for hit in few.hits} == {"d4", "d5"}


async def test_an_empty_collection_has_no_hits(collection: Collection, make_vector: Callable) -> None:
    assert (await collection.search(Query(5, vector=make_vector(1), text="word"))).hits == ()


async def test_vectors_come_only_if_asked_for(
    collection: Collection, make_document: Make, make_vector: Callable
) -> None:
    await collection.upsert([make_document("a", 1)])
    (with_vector,) = (await collection.search(Query(1, vector=make_vector(1), with_vectors=True))).hits
    (without,) = (await collection.search(Query(1, vector=make_vector(1)))).hits
    assert with_vector.vector.tobytes() == make_vector(1).tobytes()
    assert without.vector is None


@pytest.mark.parametrize(
    "query",
    [
        Query(0, text="x"),
        Query(1),
        Query(1, text="x", mode="dense"),
        Query(1, vector=np.ones(8, dtype=np.float32), mode="lexical"),
    ],
)
async def test_a_query_without_anything_to_search_by_is_refused(collection: Collection, query: Query) -> None:
    with pytest.raises(InvalidQuery):
        await collection.search(query)


@pytest.mark.parametrize("vector", [np.ones(7), np.zeros(8), np.full(8, np.nan), np.ones((1, 8))])
async def test_a_query_vector_is_checked(collection: Collection, vector: np.ndarray) -> None:
    with pytest.raises(InvalidVector, match="query"):
        await collection.search(Query(1, vector=vector))


async def test_a_row_that_vanishes_in_between_is_searched_again(
    collection: Collection, make_document: Make, make_vector: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    await collection.upsert([make_document(f"d{n}", n) for n in range(5)])
    join, joins = points.by_seq, 0

    async def late(*arguments: object, **options: object) -> dict:
        nonlocal joins
        joins += 1
        if joins == 1:
            await collection.delete(["d3"])
        return await join(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(points, "by_seq", late)
    result = await collection.search(Query(4, vector=make_vector(3)))
    assert {hit.document_id for hit in result.hits} == {"d0", "d1", "d2", "d4"}
    assert joins == 2


async def test_a_long_scan_runs_in_a_thread_and_finds_the_same(
    collection: Collection, make_document: Make, make_vector: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    await collection.upsert([make_document(f"d{n}", n) for n in range(30)])
    query = Query(10, vector=make_vector(4))
    inline = await collection.search(query)
    monkeypatch.setattr(dense, "INLINE_NUMBERS", 0)
    assert await collection.search(query) == inline


async def test_a_reader_that_sqlite_refuses_is_a_typed_error(collection: Collection) -> None:
    with pytest.raises(StorageFailed, match="no such table"):
        await collection._readers.rows("SELECT * FROM nowhere")
