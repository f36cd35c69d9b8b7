"""Searches that are reranked: by late interaction, kept or embedded now, and by a reranking model."""

from collections.abc import Sequence
from typing import Any

import pytest
from asking import Ask

from api.services.container import Services
from embedd.embedder import Embedder, Embeddings, Lane

QUESTION = "which port does the service listen on"
TEXTS = {
    "port": "The service listens on port 8080. Change it with the port flag.",
    "apart": "A service. " + "Nothing of that kind. " * 12 + "Some port. " + "And so on. " * 12 + "Listen!",
    "kill": "An acknowledged write survives a kill.",
    "other": "Quarterly figures rise.",
}


@pytest.fixture(params=["2bit", None], ids=["kept", "embedded-now"])
async def notes(ask: Ask, request: pytest.FixtureRequest) -> str:
    """The path of a collection with and without kept token vectors."""
    await fill(ask, "notes", request.param)
    return "/v1/collections/notes/search"


async def fill(ask: Ask, name: str, token_vectors: str | None) -> None:
    await ask("PUT", f"/v1/collections/{name}", {"token_vectors": token_vectors}, status=201)
    documents = [{"id": id_, "text": text, "title": id_.title()} for id_, text in TEXTS.items()]
    await ask("POST", f"/v1/collections/{name}/documents?wait=true", {"documents": documents})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the embedder is asked for from now on: the number of texts, and how."""
    calls: list[dict[str, Any]] = []
    embed = Embedder.embed

    async def note(self: Embedder, texts: Sequence[str], **more: Any) -> Embeddings:
        calls.append({"texts": len(texts), **more})
        return await embed(self, texts, **more)

    monkeypatch.setattr(Embedder, "embed", note)
    return calls


async def test_late_interaction_puts_first_what_has_the_words_together(ask: Ask, notes: str) -> None:
    answer = await ask("POST", notes, {"query": QUESTION, "rerank": "late"})
    hits = answer["hits"]
    assert hits[0]["document_id"] == "port"
    assert answer["plan"] == "exact+lexical+late"
    assert all(-1 <= hit["scores"]["rerank"] <= 1 for hit in hits)
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)
    assert {hit["document_id"] for hit in hits} == set(TEXTS)


async def test_half_of_the_final_score_is_what_the_search_found(ask: Ask, notes: str) -> None:
    hits = (await ask("POST", notes, {"query": QUESTION, "rerank": "late"}))["hits"]

    def scaled(part: str) -> list[float]:
        known = [hit["scores"][part] for hit in hits if part in hit["scores"]]
        span = max(known) - min(known)
        return [(hit["scores"].get(part, min(known)) - min(known)) / span for hit in hits]

    parts = zip(scaled("dense"), scaled("lexical"), scaled("rerank"), strict=True)
    expected = [dense / 4 + lexical / 4 + late / 2 for dense, lexical, late in parts]
    assert [hit["score"] for hit in hits] == pytest.approx(expected)


async def test_kept_vectors_say_what_new_ones_say(ask: Ask) -> None:
    scores = []
    for name, token_vectors in [("kept", "2bit"), ("new", None)]:
        await fill(ask, name, token_vectors)
        search = {"query": QUESTION, "rerank": "late"}
        hits = (await ask("POST", f"/v1/collections/{name}/search", search))["hits"]
        scores.append({hit["id"]: hit["scores"]["rerank"] for hit in hits})
    assert scores[0] == pytest.approx(scores[1], abs=0.05)


async def test_the_question_is_embedded_once_and_kept_passages_never_again(
    ask: Ask, asked: list[dict[str, Any]], services: Services
) -> None:
    await fill(ask, "kept", "2bit")
    assert [(call["texts"], call["token_dtype"], call["lane"]) for call in asked] == [(4, "int8", Lane.BULK)]
    asked.clear()
    await ask("POST", "/v1/collections/kept/search", {"query": QUESTION, "rerank": "late"})
    assert [(call["texts"], call["token_dtype"]) for call in asked] == [(1, "float32")]
    assert asked[0]["deadline_s"] == services.settings.request_timeout_s


async def test_passages_without_kept_vectors_are_embedded_for_a_person_who_waits(
    ask: Ask, asked: list[dict[str, Any]], services: Services
) -> None:
    await fill(ask, "new", None)
    assert [call.get("token_dtype") for call in asked] == [None]
    asked.clear()
    await ask("POST", "/v1/collections/new/search", {"query": QUESTION, "rerank": "late"})
    assert [(call["texts"], call["token_dtype"]) for call in asked] == [(1, "float32"), (4, "int8")]
    assert {call["lane"] for call in asked} == {Lane.INTERACTIVE}
    assert {call["deadline_s"] for call in asked} == {services.settings.request_timeout_s}


async def test_points_of_clients_are_embedded_and_those_without_text_keep_the_score_they_have(
    ask: Ask, notes: str
) -> None:
    vector = (await ask("POST", "/v1/embeddings", {"input": QUESTION}))["data"][0]["embedding"]
    points = [
        {"id": "silent", "vector": vector},
        {"id": "telling", "vector": [-x for x in vector], "text": "Listen on port 8080, service!"},
    ]
    await ask("POST", "/v1/collections/notes/points", {"points": points})
    hits = (await ask("POST", notes, {"query": QUESTION, "rerank": "late"}))["hits"]
    found = {hit["id"]: hit for hit in hits}
    assert "rerank" not in found["silent"]["scores"]
    assert found["telling"]["scores"]["rerank"] > found["kill#0"]["scores"]["rerank"]
    least = {"query": QUESTION, "rerank": "late", "min_score": -1}
    assert "silent" not in {hit["id"] for hit in (await ask("POST", notes, least))["hits"]}


async def test_nothing_but_silent_points_is_no_reason_to_fail(ask: Ask) -> None:
    await ask("PUT", "/v1/collections/silent", {}, status=201)
    await ask("POST", "/v1/collections/silent/points", {"points": [{"id": "a", "vector": [1.0] * 64}]})
    answer = await ask("POST", "/v1/collections/silent/search", {"query": QUESTION, "rerank": "late"})
    assert [(hit["id"], hit["score"]) for hit in answer["hits"]] == [("a", 1.0)]


async def test_an_empty_collection_has_nothing_to_rerank(ask: Ask) -> None:
    await ask("PUT", "/v1/collections/empty", {}, status=201)
    answer = await ask("POST", "/v1/collections/empty/search", {"query": QUESTION, "rerank": "late"})
    assert answer["hits"] == []


async def test_the_best_are_chosen_from_more_than_are_asked_for(ask: Ask, notes: str) -> None:
    (hit,) = (await ask("POST", notes, {"query": QUESTION, "rerank": "late", "k": 1}))["hits"]
    every = (await ask("POST", notes, {"query": QUESTION, "rerank": "late"}))["hits"]
    assert hit == every[0]


async def test_min_score_is_held_against_the_rerankers_score(ask: Ask, notes: str) -> None:
    every = (await ask("POST", notes, {"query": QUESTION, "rerank": "late"}))["hits"]
    best = max(hit["scores"]["rerank"] for hit in every)
    search = {"query": QUESTION, "rerank": "late", "min_score": best - 1e-6}
    assert [hit["id"] for hit in (await ask("POST", notes, search))["hits"]] == ["port#0"]


@pytest.mark.parametrize("mode", ["dense", "lexical"])
async def test_every_mode_can_be_reranked(ask: Ask, notes: str, mode: str) -> None:
    answer = await ask("POST", notes, {"query": QUESTION, "rerank": "late", "mode": mode})
    assert answer["hits"][0]["document_id"] == "port"
    assert answer["plan"].endswith("+late")


async def test_a_batch_is_reranked_as_if_each_were_alone(ask: Ask, notes: str) -> None:
    searches = [{"query": query, "rerank": "late"} for query in [QUESTION, "acknowledged write"] * 4]
    results = (await ask("POST", f"{notes}/batch", {"searches": searches}))["results"]
    alone = [(await ask("POST", notes, search))["hits"] for search in searches]
    assert [result["hits"] for result in results] == alone


async def test_a_batch_counts_the_passages_that_are_looked_at(ask: Ask, docs: str) -> None:
    searches = [{"query": "port", "k": 1, "rerank": "late"}] * 334
    body = {"searches": searches}
    error = (await ask("POST", "/v1/collections/docs/search/batch", body, status=422))["error"]
    assert "10020" in error["message"]


async def test_chat_takes_what_the_reranker_puts_first(ask: Ask, notes: str) -> None:
    body = {
        "messages": [{"role": "user", "content": QUESTION}],
        "retrieval": {"collection": "notes", "k": 1, "rerank": "late"},
    }
    answer = await ask("POST", "/v1/chat/completions", body)
    assert {source["document_id"] for source in answer["sources"]} == {"port"}


async def test_token_vectors_are_a_setting_of_the_collection(ask: Ask) -> None:
    path = "/v1/collections/notes"
    await ask("PUT", path, {"token_vectors": "2bit"}, status=201)
    await ask("PUT", path, {"token_vectors": "2bit"}, status=200)
    error = (await ask("PUT", path, {}, status=409))["error"]
    assert "token_vectors" in error["message"]
    assert (await ask("GET", path))["token_vectors"] == "2bit"
    await ask("PUT", "/v1/collections/plain", {}, status=201)
    assert (await ask("GET", "/v1/collections/plain"))["token_vectors"] is None


@pytest.mark.parametrize(
    ("body", "blamed"),
    [({"token_vectors": "int8"}, "token_vectors"), ({"dim": 3, "token_vectors": "2bit"}, "token_vectors")],
)
async def test_token_vectors_that_cannot_be_kept_are_a_422(
    ask: Ask, body: dict[str, Any], blamed: str
) -> None:
    error = (await ask("PUT", "/v1/collections/a", body, status=422))["error"]
    assert error["param"] == blamed


@pytest.mark.parametrize(
    ("body", "status", "blamed"),
    [
        ({"vector": [1.0] * 64, "rerank": "late"}, 422, "query"),
        ({"query": "x", "rerank": "late", "k": 101}, 422, "k"),
        ({"query": "x", "rerank": ""}, 422, "rerank"),
        ({"query": "x", "rerank": True}, 422, "rerank"),
        ({"query": "x", "rerank": "unheard-of"}, 404, None),
        ({"query": "x", "rerank": "fake"}, 404, None),
    ],
)
async def test_what_cannot_be_reranked_is_refused(
    ask: Ask, docs: str, body: object, status: int, blamed: str | None
) -> None:
    error = (await ask("POST", f"/v1/collections/{docs}/search", body, status=status))["error"]
    assert error["param"] == blamed


async def test_a_collection_without_a_model_has_no_tokens_to_compare(ask: Ask) -> None:
    await ask("PUT", "/v1/collections/own", {"dim": 2}, status=201)
    body = {"query": "x", "vector": [1, 0], "rerank": "late"}
    error = (await ask("POST", "/v1/collections/own/search", body, status=422))["error"]
    assert error["param"] == "rerank"
