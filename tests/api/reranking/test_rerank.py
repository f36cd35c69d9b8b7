"""POST /v1/rerank, in the shape of Cohere's and Jina's clients."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from asking import Ask

from api.services.container import Services
from api.services.rerank import rank, rarity
from embedd import late
from embedd.embedder import Embedder
from embedd.errors import DeadlineExceeded, NotFinite, OutOfMemory

PATH = "/v1/rerank"
QUERY = "When do spring tides come?"
DOCUMENTS = [
    "Wind is air that moves from high to low pressure.",
    "Spring tides come at new and full moon.",
    "When will we go?",
]


@pytest.fixture(params=["fake-reranker", "fake"])
def model(request: pytest.FixtureRequest) -> str:
    """The reranking model, and the embedding model, which ranks by late interaction."""
    return str(request.param)


async def ranked(ask: Ask, **body: Any) -> list[tuple[int, float]]:
    answer = await ask("POST", PATH, {"query": QUERY, "documents": DOCUMENTS, **body})
    return [(one["index"], one["relevance_score"]) for one in answer["results"]]


async def test_the_best_document_comes_first(ask: Ask, model: str) -> None:
    answer = await ask("POST", PATH, {"query": QUERY, "documents": DOCUMENTS, "model": model})
    assert answer["model"] == model
    assert [one["index"] for one in answer["results"]] == [1, 2, 0]
    scores = [one["relevance_score"] for one in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert all(set(one) == {"index", "relevance_score"} for one in answer["results"])
    assert answer["id"]


async def test_tokens_stand_where_jinas_and_where_coheres_clients_read_them(ask: Ask, model: str) -> None:
    answer = await ask("POST", PATH, {"query": QUERY, "documents": DOCUMENTS, "model": model})
    assert answer["usage"]["total_tokens"] == answer["meta"]["tokens"]["input_tokens"] > 20


async def test_equal_documents_keep_their_order(ask: Ask, model: str) -> None:
    twice = [DOCUMENTS[0], DOCUMENTS[1], DOCUMENTS[0], DOCUMENTS[1]]
    found = await ranked(ask, documents=twice, model=model)
    assert [index for index, _ in found] == [1, 3, 0, 2]
    assert found[0][1] == found[1][1]


async def test_top_n_leaves_the_rest_out(ask: Ask, model: str) -> None:
    everything = await ranked(ask, model=model)
    assert await ranked(ask, model=model, top_n=2) == everything[:2]
    assert await ranked(ask, model=model, top_n=100) == everything


async def test_a_scores_other_documents_do_not_change_it(ask: Ask) -> None:
    (alone,) = await ranked(ask, documents=[DOCUMENTS[1]])
    assert (await ranked(ask))[0][1] == alone[1]


async def test_documents_may_be_objects_and_may_come_back(ask: Ask, model: str) -> None:
    documents = [{"text": text, "title": "ignored"} for text in DOCUMENTS]
    body = {"query": QUERY, "documents": documents, "model": model, "return_documents": True}
    answer = await ask("POST", PATH, body)
    assert [one["document"] for one in answer["results"]] == [{"text": DOCUMENTS[n]} for n in (1, 2, 0)]


async def test_without_a_name_the_reranking_model_ranks(ask: Ask) -> None:
    answer = await ask("POST", PATH, {"query": QUERY, "documents": DOCUMENTS})
    assert answer["model"] == "fake-reranker"


async def test_raw_scores_are_those_before_the_activation(ask: Ask) -> None:
    (raw,) = await ranked(ask, query="spring tides", documents=[DOCUMENTS[1]], raw_scores=True)
    (score,) = await ranked(ask, query="spring tides", documents=[DOCUMENTS[1]])
    assert raw == (0, 4.0)
    assert score == (0, pytest.approx(1 / (1 + math.exp(-4.0))))


async def test_late_interaction_has_one_kind_of_score(ask: Ask) -> None:
    scores = await ranked(ask, model="fake")
    assert await ranked(ask, model="fake", raw_scores=True) == scores
    assert all(-1.0 <= score <= 1.0 for _, score in scores)
    ((_, same),) = await ranked(ask, model="fake", query=DOCUMENTS[1], documents=[DOCUMENTS[1]])
    assert same == pytest.approx(1.0, abs=0.01)


async def test_fields_of_the_clients_that_we_do_not_know_are_ignored(ask: Ask) -> None:
    await ranked(ask, max_tokens_per_doc=512, rank_fields=["text"], max_chunks_per_doc=1, something_new=1)


async def test_coheres_second_version_finds_it_too(ask: Ask) -> None:
    body = {"query": QUERY, "documents": DOCUMENTS, "model": "fake-reranker"}
    first, second = await ask("POST", PATH, body), await ask("POST", "/v2/rerank", body)
    assert first["results"] == second["results"]
    assert first["id"] != second["id"]


async def test_what_was_cut_is_reported(client: TestClient[Any, Any], model: str) -> None:
    body = {"query": QUERY, "documents": ["short", "word " * 300], "model": model}
    response = await client.post(PATH, json=body)
    (cut,) = (await response.json())["truncated"]
    assert cut["index"] == 1
    assert cut["tokens"] > cut["kept"]
    assert response.headers["x-truncated-inputs"] == "1"
    assert response.headers["x-compute-tokens"] == str((await response.json())["usage"]["total_tokens"])


@pytest.mark.parametrize(("truncate", "best"), [("end", 0), ("start", 1)])
async def test_a_long_document_is_cut_at_the_end_asked_for(
    ask: Ask, model: str, truncate: str, best: int
) -> None:
    filling = "word " * 300
    documents = [f"{DOCUMENTS[1]} {filling}", f"{filling} {DOCUMENTS[1]}"]
    found = await ranked(ask, documents=documents, model=model, truncate=truncate)
    assert found[0][0] == best
    assert found[0][1] > found[1][1]


async def test_a_long_document_is_refused_with_its_number_if_it_may_not_be_cut(ask: Ask, model: str) -> None:
    documents = ["short"] * 200 + ["word " * 300]
    body = {"query": QUERY, "documents": documents, "truncate": "none", "model": model}
    error = (await ask("POST", PATH, body, status=422))["error"]
    assert "input 200" in error["message"]


async def test_a_long_query_is_cut_and_reported(ask: Ask) -> None:
    body = {"query": "tides " * 300, "documents": DOCUMENTS, "model": "fake"}
    answer = await ask("POST", PATH, body)
    assert answer["truncated_query"]["tokens"] > answer["truncated_query"]["kept"]
    assert "truncated" not in answer


async def test_many_documents_are_ranked_as_a_whole(ask: Ask, model: str) -> None:
    documents = [f"number {number}" for number in range(300)]
    found = await ranked(ask, query="number 257", documents=documents, model=model)
    assert found[0][0] == 257
    assert sorted(index for index, _ in found) == list(range(300))


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"documents": []}, 422, "documents"),
        ({"documents": "one"}, 422, "documents"),
        ({"documents": [{"title": "no text"}]}, 422, "documents[0]"),
        ({"documents": ["x"] * 10_000}, 413, "documents"),
        ({"documents": ["fine", ""]}, 422, None),
        ({"documents": ["fine", {"text": "  "}]}, 422, None),
        ({"query": ""}, 422, None),
        ({"query": " "}, 422, None),
        ({"query": None}, 422, "query"),
        ({"top_n": 0}, 422, "top_n"),
        ({"top_n": -1}, 422, "top_n"),
        ({"truncate": "middle"}, 422, "truncate"),
        ({"model": "nobody"}, 404, None),
    ],
)
async def test_what_cannot_be_ranked_is_refused(
    ask: Ask, body: dict[str, Any], status: int, param: str | None
) -> None:
    whole = {"query": QUERY, "documents": DOCUMENTS} | body
    error = (await ask("POST", PATH, whole, status=status))["error"]
    if param is not None:
        assert error["param"] == param


@pytest.mark.parametrize("text", ["", "\n"])
async def test_an_empty_document_is_named(ask: Ask, model: str, text: str) -> None:
    body = {"query": QUERY, "documents": ["fine", text], "model": model}
    assert "input 1 is empty" in (await ask("POST", PATH, body, status=422))["error"]["message"]


async def test_an_unknown_model_is_told_the_known_ones(ask: Ask) -> None:
    body = {"query": QUERY, "documents": DOCUMENTS, "model": "rerank-v3.5"}
    error = (await ask("POST", PATH, body, status=404))["error"]
    assert "fake-reranker" in error["message"]


async def test_a_deadline_is_kept(services: Services, model: str) -> None:
    hurried = replace(services.models, deadline_s=1e-6)
    with pytest.raises(DeadlineExceeded):
        await rank(hurried, "asked nowhere else", DOCUMENTS, model=model)


@pytest.mark.parametrize("kind", [NotFinite, OutOfMemory])
async def test_a_document_that_fails_is_named_among_all_of_them(
    services: Services, monkeypatch: pytest.MonkeyPatch, kind: type[NotFinite | OutOfMemory]
) -> None:
    read = late.passages

    async def passages(embedder: Embedder, texts: Sequence[str], **options: Any) -> Any:
        if "the bad one" in texts:
            raise kind(texts.index("the bad one"))
        return await read(embedder, texts, **options)

    monkeypatch.setattr(late, "passages", passages)
    texts = [*["fine"] * 200, "the bad one", "fine"]
    with pytest.raises(kind) as caught:
        await rank(services.models, QUERY, texts, model="fake")
    assert caught.value.index == 200


def test_a_word_tells_more_the_rarer_it_is() -> None:
    texts = ["The moon and the sea", "the SEA", "the wind_storm"]
    found = rarity(["the", "sea", "moon", None, "storm", "the"], texts)
    assert found == {
        "the": 1.0,
        "sea": pytest.approx(math.log(4 / 3) + 1),
        "moon": pytest.approx(math.log(2) + 1),
        "storm": pytest.approx(math.log(2) + 1),
    }
