"""TEI's /rerank."""

import math
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from asking import Ask

from api.settings import Settings, load_settings

QUERY = "Spring tides"
TEXTS = ["Wind is air.", "Spring tides come.", "Spring is here."]


@pytest.fixture(params=["fake-reranker", "none"])
def reranker(request: pytest.FixtureRequest) -> str:
    """With a reranking model, and without one, where late interaction does it."""
    return str(request.param)


@pytest.fixture
def settings(tmp_path: Path, reranker: str) -> Settings:
    return load_settings({"data": tmp_path / "data", "model": "fake", "reranker": reranker, "port": 0})


async def test_texts_come_best_first_and_nothing_around_them(ask: Ask) -> None:
    answer = await ask("POST", "/rerank", {"query": QUERY, "texts": TEXTS})
    assert [one["index"] for one in answer] == [1, 2, 0]
    assert [one["score"] for one in answer] == sorted((one["score"] for one in answer), reverse=True)
    assert all(set(one) == {"index", "score"} for one in answer)


async def test_texts_come_back_if_asked(ask: Ask) -> None:
    answer = await ask("POST", "/rerank", {"query": QUERY, "texts": TEXTS, "return_text": True})
    assert [one["text"] for one in answer] == [TEXTS[1], TEXTS[2], TEXTS[0]]


@pytest.mark.parametrize("reranker", ["fake-reranker"], indirect=True)
async def test_scores_are_the_logistic_function_of_raw_ones(ask: Ask) -> None:
    scores = await ask("POST", "/rerank", {"query": QUERY, "texts": TEXTS})
    raw = await ask("POST", "/rerank", {"query": QUERY, "texts": TEXTS, "raw_scores": True})
    assert [one["score"] for one in raw] == [4.0, 0.0, -4.0]
    expected = [1 / (1 + math.exp(-one["score"])) for one in raw]
    assert [one["score"] for one in scores] == pytest.approx(expected)


async def test_what_took_how_long_is_in_teis_headers(client: TestClient[Any, Any]) -> None:
    response = await client.post("/rerank", json={"query": QUERY, "texts": [*TEXTS, "word " * 300]})
    assert response.headers["x-truncated-inputs"] == "3"
    characters = 4 * len(QUERY) + sum(map(len, TEXTS)) + 1500
    assert response.headers["x-compute-characters"] == str(characters)
    assert int(response.headers["x-compute-tokens"]) > 256
    assert response.headers["x-inference-time"].isdecimal()


async def test_a_body_in_coheres_shape_is_sent_where_it_belongs(ask: Ask) -> None:
    error = await ask("POST", "/rerank", {"query": QUERY, "documents": TEXTS}, status=422)
    assert error["error_type"] == "Validation"
    assert "/v1/rerank" in error["error"]


@pytest.mark.parametrize("reranker", ["none"], indirect=True)
@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"texts": []}, 400, "Empty"),
        ({"texts": ["fine", ""]}, 413, "Validation"),
        ({"texts": ["x"] * 2049}, 413, "Validation"),
        ({"texts": ["word " * 300], "truncate": False}, 413, "Validation"),
        ({"query": ""}, 413, "Validation"),
        ({"query": 5}, 422, "Validation"),
        ({"texts": "one"}, 422, "Validation"),
    ],
)
async def test_what_cannot_be_ranked_is_refused_as_tei_does(
    ask: Ask, body: dict[str, Any], status: int, kind: str
) -> None:
    answer = await ask("POST", "/rerank", {"query": QUERY, "texts": TEXTS} | body, status=status)
    assert answer["error_type"] == kind
