"""One passage of each document, hits unlike each other, and the least score, in every mode."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index import points, search
from index.collection import Collection
from index.errors import InvalidQuery
from index.rows import Document, Fusion, Query
from index.selection import unlike_each_other

Make = Callable[..., Document]
MODES = pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])


def ids(hits: tuple) -> list[str]:
    return [hit.id for hit in hits]


@MODES
async def test_of_each_document_the_best_passage_is_answered(
    collection: Collection, make_document: Make, make_vector: Callable, mode: str
) -> None:
    await collection.upsert(
        [make_document("long", *[1] * 250)] + [make_document(f"d{n}", 1) for n in range(9)]
    )
    query = Query(10, vector=make_vector(1), text="word1", mode=mode, group_by="document")  # type: ignore[arg-type]
    result = await collection.search(query)
    assert sorted(hit.document_id for hit in result.hits) == [*(f"d{n}" for n in range(9)), "long"]


@MODES
async def test_there_are_never_more_groups_than_documents(
    collection: Collection, make_document: Make, make_vector: Callable, mode: str
) -> None:
    await collection.upsert([make_document("a", *range(40)), make_document("b", *range(20, 60))])
    query = Query(9, vector=make_vector(3), text="word3 word21 word50", mode=mode, group_by="document")  # type: ignore[arg-type]
    grouped = (await collection.search(query)).hits
    every = (await collection.search(Query(80, vector=make_vector(3), text=query.text, mode=mode))).hits  # type: ignore[arg-type]
    first = {hit.document_id: hit.id for hit in reversed(every)}
    assert sorted(ids(grouped)) == sorted(first.values())


async def test_what_does_not_reach_the_least_score_is_not_looked_for(
    collection: Collection, make_document: Make, make_vector: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    await collection.upsert([make_document(f"d{n}", n, n) for n in range(200)])
    depths, find = [], search._find

    async def counted(*arguments: object) -> object:
        depths.append(arguments[-1])
        return await find(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(search, "_find", counted)
    query = Query(5, vector=make_vector(3), text="word3", min_score=0.999, group_by="document")
    assert ids((await collection.search(query)).hits) in (["d3#0"], ["d3#1"])
    assert depths == [search.DEPTH]


async def test_diversity_leaves_out_what_says_the_same(
    collection: Collection, make_document: Make, make_vector: Callable
) -> None:
    await collection.upsert([make_document(f"same{n}", 1) for n in range(5)])
    await collection.upsert([make_document(f"other{n}", n) for n in range(2, 30)])
    alike = await collection.search(Query(5, vector=make_vector(1), diversity=0.0))
    unlike = await collection.search(Query(5, vector=make_vector(1), diversity=0.5))
    assert ids(alike.hits) == [f"same{n}#0" for n in range(5)]
    assert ids(unlike.hits)[0] == "same0#0"
    assert sum(hit.document_id.startswith("same") for hit in unlike.hits) == 1
    assert unlike.plan == "exact+mmr"


async def test_everything_together_still_answers_as_many_as_there_are(
    collection: Collection, make_document: Make, make_vector: Callable
) -> None:
    await collection.upsert([make_document(f"d{n}", n, n + 1) for n in range(30)])
    query = Query(
        30, vector=make_vector(3), text="word3", group_by="document", diversity=0.7, fusion=Fusion("rrf", 0.3)
    )
    hits = (await collection.search(query)).hits
    assert len({hit.document_id for hit in hits}) == 30


async def test_a_row_that_vanishes_before_it_is_chosen_is_left_out(
    collection: Collection, make_document: Make, make_vector: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    await collection.upsert([make_document(f"d{n}", n) for n in range(5)])
    documents_of = points.documents_of

    async def late(*arguments: object) -> dict[int, int]:
        await collection.delete(["d3"])
        return await documents_of(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(points, "documents_of", late)
    query = Query(4, vector=make_vector(3), group_by="document", diversity=0.1)
    assert {hit.document_id for hit in (await collection.search(query)).hits} == {"d0", "d1", "d2", "d4"}


async def test_an_empty_collection_has_nothing_to_choose_from(
    collection: Collection, make_vector: Callable
) -> None:
    query = Query(4, vector=make_vector(3), text="word", group_by="document", diversity=0.5, min_score=0.5)
    assert (await collection.search(query)).hits == ()


@pytest.mark.parametrize(
    "wrong",
    [
        Query(5, text="x", diversity=1.1),
        Query(5, text="x", diversity=float("nan")),
        Query(1_001, text="x", diversity=0.5),
        Query(5, text="x", fusion=Fusion(dense_weight=-0.1)),
    ],
)
async def test_shares_lie_between_0_and_1_and_few_are_diverse(collection: Collection, wrong: Query) -> None:
    with pytest.raises(InvalidQuery):
        await collection.search(wrong)


@given(st.integers(1, 12), st.integers(1, 15), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_each_choice_is_the_best_one_left(n: int, k: int, diversity: float, seed: int) -> None:
    source = np.random.default_rng(seed)
    vectors = {seq: source.normal(size=4).astype(np.float32) for seq in range(n)}
    scores = sorted(source.uniform(size=n).tolist(), reverse=True)
    ranking = dict(enumerate(scores))
    chosen = list(unlike_each_other(ranking, vectors, k, diversity))
    assert len(set(chosen)) == min(k, n)
    assert chosen[0] == 0 or diversity == 1
    span = scores[0] - scores[-1]

    def marginal(seq: int, taken: list[int]) -> float:
        relevance = (ranking[seq] - scores[-1]) / span if span else 1.0
        likeness = max((cosine(vectors[seq], vectors[other]) for other in taken), default=0.0)
        return (1 - diversity) * relevance - diversity * likeness

    for place, seq in enumerate(chosen):
        best = max(marginal(other, chosen[:place]) for other in range(n) if other not in chosen[:place])
        assert marginal(seq, chosen[:place]) == pytest.approx(best, abs=1e-5)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_what_has_no_direction_and_what_is_very_long_are_no_problem() -> None:
    vectors = {1: np.zeros(3, np.float32), 2: np.full(3, 1e30, np.float32), 3: np.full(3, 1e30, np.float32)}
    assert list(unlike_each_other({2: 3.0, 3: 2.0, 1: 1.0}, vectors, 3, 0.9)) == [2, 1, 3]
    assert unlike_each_other({5: 1.0}, {}, 3, 0.5) == {}
