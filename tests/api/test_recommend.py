"""Recommend over HTTP: by points that the answer should be like and unlike."""

from typing import Any

import numpy as np
import pytest
from asking import Ask

PATH = "/v1/collections/mine/recommend"
ROWS = np.random.default_rng(7).normal(size=(40, 6)) * np.random.default_rng(8).uniform(0.1, 9, size=(40, 1))


async def fill(ask: Ask, metric: str) -> None:
    await ask("PUT", "/v1/collections/mine", {"dim": 6, "metric": metric}, status=201)
    points = [
        {"id": f"p{n}", "vector": row.tolist(), "metadata": {"even": n % 2 == 0}}
        for n, row in enumerate(ROWS)
    ]
    await ask("POST", "/v1/collections/mine/points", {"points": points})


@pytest.fixture
async def mine(ask: Ask) -> str:
    await fill(ask, "cosine")
    return "mine"


def expected(metric: str, positive: list[int], negative: list[int]) -> list[str]:
    """All others, best first: by the mean of the positive rows, twice, minus that of the negative ones."""
    rows = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True) if metric == "cosine" else ROWS
    target = rows[positive].mean(axis=0)
    if negative:
        target = 2 * target - rows[negative].mean(axis=0)
    scores = -np.linalg.norm(rows - target, axis=1) if metric == "l2" else rows @ target
    return [f"p{n}" for n in np.argsort(-scores) if n not in positive + negative]


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
@pytest.mark.parametrize(("positive", "negative"), [([3], []), ([3, 4, 9], []), ([3, 4], [9, 10, 11])])
async def test_the_best_are_like_the_positive_and_unlike_the_negative(
    ask: Ask, metric: str, positive: list[int], negative: list[int]
) -> None:
    await fill(ask, metric)
    body = {"positive": [f"p{n}" for n in positive], "negative": [f"p{n}" for n in negative], "k": 8}
    answer = await ask("POST", PATH, body)
    assert [hit["id"] for hit in answer["hits"]] == expected(metric, positive, negative)[:8]
    assert answer["plan"]
    assert answer["took_ms"] > 0


async def test_every_point_but_the_examples_can_be_had(ask: Ask, mine: str) -> None:
    body = {"positive": ["p0", "p1", "p0"], "negative": ["p2"], "k": 100}
    ids = [hit["id"] for hit in (await ask("POST", PATH, body))["hits"]]
    assert sorted(ids) == sorted(f"p{n}" for n in range(3, 40))


async def test_a_filter_holds_for_the_answer_not_for_the_examples(ask: Ask, mine: str) -> None:
    body = {"positive": ["p1"], "filter": {"even": True}, "k": 30}
    hits = (await ask("POST", PATH, body))["hits"]
    assert {hit["id"] for hit in hits} == {f"p{n}" for n in range(0, 40, 2)}


async def test_a_least_score_and_the_parts_of_a_hit_are_those_of_search(ask: Ask, mine: str) -> None:
    body = {"positive": ["p1"], "include": ["vector"], "exact": True}
    every = (await ask("POST", PATH, body))["hits"]
    assert len(every[0]["vector"]) == 6
    assert "metadata" not in every[0]
    least = every[2]["score"]
    some = (await ask("POST", PATH, body | {"min_score": least}))["hits"]
    assert [hit["id"] for hit in some] == [hit["id"] for hit in every[:3]]


async def test_passages_of_documents_are_examples_too(ask: Ask, docs: str) -> None:
    hits = (await ask("POST", "/v1/collections/docs/recommend", {"positive": ["port#0"]}))["hits"]
    assert {hit["document_id"] for hit in hits} == {"kill", "hafen"}


@pytest.mark.parametrize(
    ("body", "blamed"),
    [
        ({"positive": ["nobody"]}, "positive"),
        ({"positive": ["p0"], "negative": ["nobody"]}, "negative"),
        ({"positive": ["p0\0"]}, "positive"),
    ],
)
async def test_an_example_that_is_not_there_is_a_404(
    ask: Ask, mine: str, body: dict[str, Any], blamed: str
) -> None:
    error = (await ask("POST", PATH, body, status=404))["error"]
    assert (error["code"], error["param"]) == ("not_found", blamed)


@pytest.mark.parametrize(
    ("body", "blamed"),
    [
        ({}, "positive"),
        ({"positive": []}, "positive"),
        ({"positive": ["p0"], "k": 0}, "k"),
        ({"positive": ["p0"], "filter": {"$no": 1}}, "filter"),
        ({"positive": ["a", "-a"]}, "positive"),
    ],
)
async def test_examples_that_say_nothing_are_a_422(
    ask: Ask, mine: str, body: dict[str, Any], blamed: str
) -> None:
    opposites = [{"id": "a", "vector": [2, 0, 0, 0, 0, 0]}, {"id": "-a", "vector": [-1, 0, 0, 0, 0, 0]}]
    await ask("POST", "/v1/collections/mine/points", {"points": opposites})
    error = (await ask("POST", PATH, body, status=422))["error"]
    assert blamed in (error["param"] or error["message"])
