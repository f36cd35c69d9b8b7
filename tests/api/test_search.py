"""Search over HTTP: by words, by vector, filtered, in batches."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from asking import Ask

from api.services.container import Services
from embedd.embedder import Embedder, Embeddings

PATH = "/v1/collections/docs/search"


async def test_words_find_the_document_they_are_from(ask: Ask, docs: str) -> None:
    answer = await ask("POST", PATH, {"query": "acknowledged write survives", "k": 2})
    first = answer["hits"][0]
    assert (first["document_id"], first["id"], first["title"]) == ("kill", "kill#0", "Durability")
    assert set(first["scores"]) == {"dense", "lexical"}
    assert answer["plan"]
    assert answer["took_ms"] > 0


@pytest.mark.parametrize(("mode", "parts"), [("dense", {"dense"}), ("lexical", {"lexical"})])
async def test_each_half_can_be_asked_alone(ask: Ask, docs: str, mode: str, parts: set[str]) -> None:
    hits = (await ask("POST", PATH, {"query": "survives kill", "mode": mode}))["hits"]
    assert hits[0]["document_id"] == "kill"
    assert set(hits[0]["scores"]) == parts


async def test_a_vector_finds_its_own_passage_in_every_coding(ask: Ask, docs: str) -> None:
    embedded = await ask("POST", "/v1/embeddings", {"input": "port 8080 listens"})
    vector = embedded["data"][0]["embedding"]
    coded = base64.b64encode(np.float32(vector).tobytes()).decode()
    plain = (await ask("POST", PATH, {"vector": vector}))["hits"]
    assert plain[0]["document_id"] == "port"
    assert (await ask("POST", PATH, {"vector": coded}))["hits"] == plain


async def test_a_filter_leaves_only_what_matches(ask: Ask, docs: str) -> None:
    condition = {"lang": "en", "year": {"$gte": 2021}}
    hits = (await ask("POST", PATH, {"query": "port", "filter": condition}))["hits"]
    assert [hit["document_id"] for hit in hits] == ["kill"]


async def test_include_chooses_what_comes_back(ask: Ask, docs: str) -> None:
    hit = (await ask("POST", PATH, {"query": "port", "include": ["vector"]}))["hits"][0]
    assert len(hit["vector"]) == 64
    assert "text" not in hit
    assert "metadata" not in hit


async def test_min_score_is_held_against_the_dense_score(ask: Ask, docs: str) -> None:
    every = (await ask("POST", PATH, {"query": "write survives kill"}))["hits"]
    best = max(hit["scores"]["dense"] for hit in every)
    some = (await ask("POST", PATH, {"query": "write survives kill", "min_score": best - 1e-6}))["hits"]
    assert [hit["document_id"] for hit in some] == ["kill"]


async def test_hits_point_into_the_text_of_their_document(ask: Ask, docs: str) -> None:
    for hit in (await ask("POST", PATH, {"query": "port"}))["hits"]:
        document = await ask("GET", f"/v1/collections/docs/documents/{hit['document_id']}?include=text")
        assert document["text"][hit["start"] : hit["end"]] == hit["text"]


async def test_a_batch_answers_each_search_as_if_alone(ask: Ask, docs: str) -> None:
    searches = [{"query": "port"}, {"query": "kill", "k": 1}]
    results = (await ask("POST", f"{PATH}/batch", {"searches": searches}))["results"]
    alone = [(await ask("POST", PATH, search))["hits"] for search in searches]
    assert [result["hits"] for result in results] == alone


async def test_a_request_weighs_vectors_and_words(ask: Ask, docs: str) -> None:
    async def order(**search: Any) -> list[str]:
        return [hit["id"] for hit in (await ask("POST", PATH, {"query": "kill port port"} | search))["hits"]]

    dense, lexical = await order(mode="dense"), await order(mode="lexical")
    for method in ("relative", "rrf"):
        assert await order(fusion={"method": method, "dense_weight": 1}) == dense
        only_words = await order(fusion={"method": method, "dense_weight": 0})
        assert only_words[: len(lexical)] == lexical
    default = {"method": "relative", "dense_weight": 0.5}
    assert await order() == await order(fusion={}) == await order(fusion=default)


async def test_hits_are_of_different_documents_and_unlike_each_other(ask: Ask) -> None:
    path = "/v1/collections/own"
    await ask("PUT", path, {"dim": 2}, status=201)
    vectors = {"a": [1, 0], "b": [1, 0.01], "c": [-1, 1]}
    points = [{"id": id_, "vector": vector} for id_, vector in vectors.items()]
    await ask("POST", f"{path}/points", {"points": points})
    search = {"vector": [1, 0], "k": 2, "group_by": "document"}
    plain = await ask("POST", f"{path}/search", search)
    diverse = await ask("POST", f"{path}/search", search | {"mmr": {"diversity": 0.6}})
    assert [hit["id"] for hit in plain["hits"]] == ["a", "b"]
    assert [hit["id"] for hit in diverse["hits"]] == ["a", "c"]
    assert diverse["plan"] == "exact+mmr"


async def test_a_document_of_many_passages_is_one_hit_with_or_without_a_reranker(ask: Ask) -> None:
    path = "/v1/collections/books"
    await ask("PUT", path, {}, status=201)
    chapters = "\n\n".join(f"# Chapter {n}\n\n{'The whale swims and dives. ' * 60}" for n in range(8))
    documents = [
        {"id": "whale", "text": chapters, "format": "markdown"},
        {"id": "ship", "text": "The ship hunts the whale."},
    ]
    await ask("POST", f"{path}/documents?wait=true", {"documents": documents})
    for rerank in ({}, {"rerank": "late"}):
        search = {"query": "whale", "k": 2, "group_by": "document"} | rerank
        hits = (await ask("POST", f"{path}/search", search))["hits"]
        assert sorted(hit["document_id"] for hit in hits) == ["ship", "whale"]


async def test_a_collection_cuts_texts_into_words_in_its_own_way(ask: Ask) -> None:
    path = "/v1/collections/parts"
    made = await ask("PUT", path, {"dim": 2, "tokenizer": "trigram"}, status=201)
    assert made["tokenizer"] == "trigram"
    assert (await ask("PUT", path, {"dim": 2}, status=409))["error"]["code"] == "collection_exists"
    await ask("POST", f"{path}/points", {"points": [{"id": "p", "vector": [1, 0], "text": "东京都"}]})
    hits = (await ask("POST", f"{path}/search", {"query": "东京", "mode": "lexical"}))["hits"]
    assert [hit["id"] for hit in hits] == ["p"]


async def test_exact_never_uses_the_graph(ask: Ask, docs: str) -> None:
    assert "graph" not in (await ask("POST", PATH, {"query": "port", "exact": True}))["plan"]


@pytest.mark.parametrize(
    ("body", "blamed"),
    [
        ({}, "query"),
        ({"query": "  "}, "query"),
        ({"query": "x", "k": 0}, "k"),
        ({"query": "x", "k": 10_001}, "k"),
        ({"query": "x", "mode": "magic"}, "mode"),
        ({"query": "x", "filter": {"year": {"$near": 1}}}, "filter"),
        ({"query": "x", "filter": []}, "filter"),
        ({"query": "x", "unknown": 1}, "unknown"),
        ({"query": "x", "fusion": {"method": "sum"}}, "fusion.method"),
        ({"query": "x", "fusion": {"dense_weight": 1.5}}, "fusion.dense_weight"),
        ({"query": "x", "group_by": "title"}, "group_by"),
        ({"query": "x", "mmr": {"diversity": -1}}, "mmr.diversity"),
        ({"query": "x", "mmr": {}, "k": 1_001}, None),
        ({"query": "x", "mmr": {}, "rerank": "late"}, "mmr"),
        ({"vector": [1, 2]}, None),
        ({"vector": ["a"] * 64}, "vector"),
        ({"vector": "%%%"}, "vector"),
        ({"vector": base64.b64encode(np.full(64, np.nan, "<f4").tobytes()).decode()}, None),
        ({"vector": [0.0] * 64}, None),
        ({"vector": [1.0] * 64, "mode": "lexical"}, "query"),
    ],
)
async def test_a_bad_search_is_a_422_that_names_the_field(
    ask: Ask, docs: str, body: object, blamed: str | None
) -> None:
    error = (await ask("POST", PATH, body, status=422))["error"]
    if blamed is not None:
        assert error["param"] == blamed


async def test_a_bad_operator_is_named(ask: Ask, docs: str) -> None:
    error = (await ask("POST", PATH, {"query": "x", "filter": {"y": {"$near": 1}}}, status=422))["error"]
    assert "$near" in error["message"]


async def test_one_bad_search_refuses_the_whole_batch(ask: Ask, docs: str) -> None:
    searches = [{"query": "port"}, {"query": "x", "filter": {"$xor": []}}]
    await ask("POST", f"{PATH}/batch", {"searches": searches}, status=422)


@pytest.mark.parametrize(
    ("wrong", "param", "code"),
    [
        ({"query": "x", "filter": {"$xor": []}}, "filter", "invalid_filter"),
        ({"query": " "}, "query", "invalid_value"),
        ({}, "query", "invalid_value"),
        ({"query": "x", "rerank": "late", "mmr": {}}, "mmr", "invalid_value"),
        ({"vector": [1.0, 2.0]}, None, "invalid_vector"),
        ({"vector": "no base64"}, "vector", "invalid_value"),
    ],
)
async def test_a_batch_says_which_of_its_searches_is_wrong(
    ask: Ask, docs: str, wrong: dict[str, Any], param: str | None, code: str
) -> None:
    searches = [{"query": "port"}, {"query": "harbour"}, wrong]
    error = (await ask("POST", f"{PATH}/batch", {"searches": searches}, status=422))["error"]
    assert error["param"] == ".".join(filter(None, ("searches.2", param)))
    assert error["code"] == code
    assert error["message"].startswith("searches.2: ")


async def test_a_batch_may_ask_for_as_much_as_one_search(ask: Ask, docs: str) -> None:
    searches = {"searches": [{"query": "port", "k": 10_000}, {"query": "port", "k": 1}]}
    error = (await ask("POST", "/v1/collections/docs/search/batch", searches, status=422))["error"]
    assert error["param"] == "searches"


@pytest.mark.parametrize("batch", [False, True])
async def test_a_query_that_the_model_takes_only_in_part_is_reported(
    ask: Ask, docs: str, *, batch: bool
) -> None:
    query = {"query": "port " * 1000}
    if batch:
        (answer,) = (await ask("POST", f"{PATH}/batch", {"searches": [query]}))["results"]
    else:
        answer = await ask("POST", PATH, query)
    assert answer["truncated_query"] == {"tokens": 1002, "kept": 256}
    assert "truncated_query" not in await ask("POST", PATH, {"query": "port"})


async def test_a_model_that_hangs_does_not_keep_a_person_waiting_for_ever(
    ask: Ask, docs: str, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float | None] = []
    embed = Embedder.embed

    async def note_deadline(self: Embedder, texts: Sequence[str], **more: Any) -> Embeddings:
        given.append(more.get("deadline_s"))
        return await embed(self, texts, **more)

    monkeypatch.setattr(Embedder, "embed", note_deadline)
    await ask("POST", "/v1/collections/docs/search", {"query": "port"})
    question = {"role": "user", "content": "Which port does the service listen on?"}
    await ask("POST", "/v1/chat/completions", {"model": "extractive@docs", "messages": [question]})
    assert given == [services.settings.request_timeout_s] * 3
