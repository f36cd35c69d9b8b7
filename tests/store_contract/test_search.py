"""Search: the best min(k, matches) by vector, by words and by both, against numpy and plain Python."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from store_samples import document_of, ids_of, point_of, settings_of, vector_of

from index.errors import InvalidQuery
from index.filters import parse_filter
from index.rows import Fusion, Hit, Query, Vector
from index.store import Store

METRICS: dict[Any, Callable[[Vector, Vector], float]] = {
    "cosine": lambda a, b: float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)),
    "dot": lambda a, b: float(a @ b),
    "l2": lambda a, b: -float(np.linalg.norm(a - b)),
}
COUNT = 300
HOSTILE = (
    *('"', '"""', "AND", "NOT tide", "tide OR", "NEAR(tide, 2", "title:tide", "{tide}", "^tide", "tide) --"),
    *(
        "*",
        "-tide",
        "tide\0",
        "\ud800 tide",
        "",
        " ",
        "';DROP TABLE words",
        "tide " * 5_000,
        "%",
        "\u201ctide",
    ),
)


@pytest.fixture
async def many(store: Store) -> Store:
    """300 points in 100 documents, d0 with the seeds 0, 1 and 2; words of each and words of many."""
    await store.upsert(
        [
            document_of(
                f"d{n}", 3 * n, 3 * n + 1, 3 * n + 2, title=f"third{n % 3}", metadata={"third": n % 3}
            )
            for n in range(COUNT // 3)
        ]
    )
    return store


async def test_many_searches_find_what_each_finds_alone(many: Store) -> None:
    queries = [Query(10, vector=vector_of(seed)) for seed in range(30)]
    queries += [
        Query(3, vector=vector_of(1)),
        Query(3, vector=vector_of(2), filter=parse_filter({"third": 1})),
        Query(5, text="word4 word7", mode="lexical"),
        Query(5, text="word4", vector=vector_of(9)),
        Query(5, vector=vector_of(3), min_score=0.2),
        Query(5, vector=vector_of(3), with_vectors=True),
        Query(5, vector=vector_of(3), exact=True),
        Query(120, vector=vector_of(4)),
        Query(120, vector=vector_of(5)),
    ]
    together = await many.search_many(queries)
    alone = [await many.search(query) for query in queries]
    assert [ids_of(one) for one in together] == [ids_of(one) for one in alone]
    assert [one.plan for one in together] == [one.plan for one in alone]
    assert await many.search_many([]) == []


async def test_one_bad_search_of_many_is_told(many: Store) -> None:
    with pytest.raises(InvalidQuery):
        await many.search_many([Query(1, vector=vector_of(1)), Query(0, vector=vector_of(1))])


def scores_by(query: Vector, seeds: range = range(COUNT)) -> dict[str, float]:
    return {f"d{seed // 3}#{seed % 3}": METRICS["cosine"](vector_of(seed), query) for seed in seeds}


def best_of(scores: dict[str, float], k: int) -> list[str]:
    return sorted(scores, key=lambda id_: -scores[id_])[:k]


@pytest.mark.parametrize("metric", METRICS)
async def test_exact_search_is_what_numpy_says(stores: Any, metric: Any) -> None:
    store = await stores.create(settings_of(metric=metric))
    await store.upsert([point_of(f"p{seed}", vector=3 * vector_of(seed)) for seed in range(100)])
    query = 0.1 * vector_of(1000)
    expected = {f"p{seed}": METRICS[metric](3 * vector_of(seed), query) for seed in range(100)}
    hits = (await store.search(Query(30, vector=query, exact=True))).hits
    assert [hit.id for hit in hits] == best_of(expected, 30)
    np.testing.assert_allclose([hit.score for hit in hits], [expected[hit.id] for hit in hits], atol=1e-4)
    assert all(hit.scores == {"dense": hit.score} for hit in hits)


@pytest.mark.parametrize("k", [1, 10, COUNT - 1, COUNT, COUNT + 1, 10_000])
async def test_there_are_as_many_hits_as_asked_or_as_there_are(many: Store, k: int) -> None:
    query = vector_of(1000)
    expected = scores_by(query)
    for exact in (True, False):
        hits = (await many.search(Query(k, vector=query, exact=exact))).hits
        assert len({hit.id for hit in hits}) == len(hits) == min(k, COUNT)
        # A graph may miss a near one, but its scores are right and in order.
        np.testing.assert_allclose([hit.score for hit in hits], [expected[hit.id] for hit in hits], atol=1e-5)
        assert all(one.score >= other.score for one, other in pairwise(hits))


async def test_an_empty_collection_has_no_hits(store: Store) -> None:
    for query in (
        Query(3, vector=vector_of(1)),
        Query(3, text="word"),
        Query(3, vector=vector_of(1), text="word", group_by="document", diversity=0.5, min_score=0.1),
        Query(3, vector=vector_of(1), filter=parse_filter({"k": 1})),
    ):
        assert (await store.search(query)).hits == ()


async def test_a_hit_brings_its_point_and_vectors_only_if_asked(store: Store) -> None:
    await store.upsert([document_of("a", 1, 2, title="T", metadata={"k": [1]})])
    plain = (await store.search(Query(1, vector=vector_of(2)))).hits[0]
    assert (plain.id, plain.document_id, plain.text, plain.title) == ("a#1", "a", "word2", "T")
    assert (plain.metadata, plain.start, plain.end, plain.vector) == ({"k": [1]}, 8, 13, None)
    full = (await store.search(Query(1, vector=vector_of(2), with_vectors=True))).hits[0]
    assert full.vector is not None
    assert full.vector.tobytes() == vector_of(2).tobytes()


async def test_a_least_score_is_held_against_the_cosine_or_else_bm25(many: Store) -> None:
    query = vector_of(1000)
    scores = scores_by(query)
    good = {id_ for id_, score in scores.items() if score >= 0.3}
    dense = await many.search(Query(COUNT, vector=query, min_score=0.3, exact=True))
    assert set(ids_of(dense)) == good
    hybrid = await many.search(Query(COUNT, vector=query, text="third1", min_score=0.3, exact=True))
    assert set(ids_of(hybrid)) == good
    by_words = (await many.search(Query(COUNT, text="third1 word4"))).hits
    least = by_words[0].score
    assert ids_of(await many.search(Query(COUNT, text="third1 word4", min_score=least))) == ["d1#1"]
    assert (await many.search(Query(9, vector=query, min_score=1.01))).hits == ()


async def test_words_find_what_has_any_of_them_in_text_or_title(many: Store) -> None:
    found = (await many.search(Query(COUNT, text="Word4, third2?"))).hits
    assert {hit.id for hit in found} == {"d1#1"} | {f"d{n}#{m}" for n in range(2, 100, 3) for m in range(3)}
    assert all(hit.score == hit.scores["lexical"] > 0 for hit in found)
    assert all(one.score >= other.score for one, other in pairwise(found))
    assert len((await many.search(Query(7, text="third2"))).hits) == 7
    assert (await many.search(Query(7, text="unheard"))).hits == ()
    assert ids_of(await many.search(Query(9, text="word4", mode="lexical", vector=vector_of(1)))) == ["d1#1"]


async def test_phrases_and_beginnings_of_words(store: Store) -> None:
    texts = {"a": "the high tide comes", "b": "high and low tide", "c": "tidal flats"}
    await store.upsert([point_of(id_, n, text=text) for n, (id_, text) in enumerate(texts.items(), 1)])
    for text, expected in (
        ('"high tide"', {"a"}),
        ("tid*", {"a", "b", "c"}),
        ('"low tide" flat', {"b", "c"}),
    ):
        assert set(ids_of(await store.search(Query(9, text=text)))) == expected, text


async def test_nothing_that_is_typed_is_syntax(store: Store) -> None:
    await store.upsert([point_of("a", 1, text="high tide")])
    for text in HOSTILE:
        assert ids_of(await store.search(Query(9, text=text))) in (["a"], [])
        assert ids_of(await store.search(Query(9, vector=vector_of(1), text=text))) == ["a"]
    assert ids_of(await store.search(Query(9, text="tide"))) == ["a"]


@pytest.mark.parametrize(
    ("tokenizer", "asked", "found"),
    [
        ("porter", "running", {"run", "running"}),
        ("unicode61", "running", {"running"}),
        ("unicode61", "uber", {"über"}),
        ("trigram", "潮汐", {"表"}),
        ("trigram", "unnin", {"running"}),
    ],
)
async def test_a_collection_cuts_texts_into_words_as_it_was_told(
    stores: Any, tokenizer: Any, asked: str, found: set[str]
) -> None:
    store = await stores.create(settings_of(tokenizer=tokenizer))
    texts = {"run": "they run", "running": "they were running", "über": "Über", "表": "潮汐表在这里"}
    await store.upsert([point_of(id_, n, text=text) for n, (id_, text) in enumerate(texts.items(), 1)])
    assert set(ids_of(await store.search(Query(9, text=asked)))) == found


async def test_hybrid_hits_have_the_parts_of_their_scores(many: Store) -> None:
    query = vector_of(1000)
    dense, hits = scores_by(query), (await many.search(Query(COUNT, vector=query, text="word4"))).hits
    assert len(hits) == COUNT
    for hit in hits:
        assert hit.scores["dense"] == pytest.approx(dense[hit.id], abs=1e-5)
        assert ("lexical" in hit.scores) == (hit.id == "d1#1")
    assert all(one.score >= other.score for one, other in pairwise(hits))


def _order(hits: tuple[Hit, ...], part: str) -> list[float]:
    return [hit.scores[part] for hit in hits if part in hit.scores]


@pytest.mark.parametrize("method", ["relative", "rrf"])
async def test_the_weight_of_a_half_decides_how_far_it_counts(many: Store, method: Any) -> None:
    query = vector_of(1000)
    for weight, part in ((1.0, "dense"), (0.0, "lexical")):
        fusion = Fusion(method, weight)
        hits = (
            await many.search(Query(COUNT, vector=query, text="third1 word4", fusion=fusion, exact=True))
        ).hits
        assert len(hits) == COUNT
        order = _order(hits, part)
        assert all(one >= other - 1e-6 for one, other in pairwise(order[:50])), part
    even = await many.search(Query(9, vector=vector_of(4), text="word4", fusion=Fusion(method), exact=True))
    assert ids_of(even)[0] == "d1#1"


@pytest.mark.parametrize("k", [1, 5, 40, 100, 200])
@pytest.mark.parametrize("text", [None, "third1 word4"])
async def test_grouped_by_document_each_is_there_once_with_its_best(
    many: Store, k: int, text: str | None
) -> None:
    query = vector_of(1000)
    scores = scores_by(query)
    result = await many.search(Query(k, vector=query, text=text, group_by="document", exact=True))
    documents = [hit.document_id for hit in result.hits]
    assert len(set(documents)) == len(documents) == min(k, COUNT // 3)
    if text is None:
        best = {f"d{n}": max(scores[f"d{n}#{m}"] for m in range(3)) for n in range(COUNT // 3)}
        assert documents == best_of(best, k)
        assert [hit.score for hit in result.hits] == pytest.approx([best[id_] for id_ in documents], abs=1e-5)


async def test_grouping_by_words_leaves_the_best_passage_of_each_document(many: Store) -> None:
    result = await many.search(Query(50, text="third1 word4", group_by="document"))
    assert len(result.hits) == len({hit.document_id for hit in result.hits}) == 33
    assert result.hits[0].id == "d1#1"


async def test_diversity_keeps_the_best_first_and_takes_what_is_unlike(store: Store) -> None:
    base, other = vector_of(1), vector_of(7)
    twins = [base + 0.001 * vector_of(seed) for seed in range(10, 15)]
    await store.upsert([point_of(f"twin{n}", vector=vector) for n, vector in enumerate(twins)])
    await store.upsert([point_of("other", vector=other)])
    plain = ids_of(await store.search(Query(3, vector=base)))
    assert "other" not in plain
    assert ids_of(await store.search(Query(3, vector=base, diversity=0.0))) == plain
    diverse = ids_of(await store.search(Query(2, vector=base, diversity=0.9)))
    assert diverse == [plain[0], "other"]
    for k in (1, 6, 100):
        assert len(set(ids_of(await store.search(Query(k, vector=base, diversity=1.0))))) == min(k, 6)


async def test_everything_at_once_is_still_min_k_matches(many: Store) -> None:
    condition = parse_filter({"third": {"$ne": 1}})
    for k in (1, 20, 500):
        query = Query(
            k, vector=vector_of(9), text="word9 third0", filter=condition, group_by="document", diversity=0.3
        )
        hits = (await many.search(query)).hits
        assert len({hit.document_id for hit in hits}) == len(hits) == min(k, 67)
        assert all(hit.metadata["third"] != 1 for hit in hits)


async def test_equal_points_are_all_found(store: Store) -> None:
    await store.upsert([point_of(f"p{n}", vector=vector_of(1), text="same") for n in range(150)])
    for query in (
        Query(150, vector=vector_of(1)),
        Query(150, text="same"),
        Query(150, vector=vector_of(1), text="same"),
        Query(150, vector=vector_of(2), diversity=0.5),
    ):
        assert len(set(ids_of(await store.search(query)))) == 150


async def test_rare_words_have_a_higher_idf_than_common_ones(many: Store) -> None:
    found = await many.idf(["word4", "third1", "unheard", "two words", ""])
    assert set(found) == {"word4", "third1", "unheard"}
    assert found["unheard"] >= found["word4"] > found["third1"] > 0
    assert len(await many.idf([f"w{n}" for n in range(50)])) == 32


async def test_hits_without_content_are_the_same_hits(store: Store) -> None:
    await store.upsert([document_of("a", 1, 2, metadata={"n": 1}), document_of("b", 3, metadata={"n": 2})])
    query = Query(3, vector=vector_of(1))
    whole, bare = await store.search(query), await store.search(replace(query, with_content=False))
    assert [(hit.id, hit.score, hit.title) for hit in bare.hits] == [
        (hit.id, hit.score, hit.title) for hit in whole.hits
    ]
    narrow = replace(query, with_content=False, filter=parse_filter({"n": 2}))
    assert [hit.id for hit in (await store.search(narrow)).hits] == ["b#0"]
