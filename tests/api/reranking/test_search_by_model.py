"""Search with a reranking model."""

from asking import Ask


async def test_it_alone_decides(ask: Ask, docs: str) -> None:
    search = {"query": "which port does the service use", "rerank": "fake-reranker"}
    answer = await ask("POST", f"/v1/collections/{docs}/search", search)
    assert answer["plan"] == "exact+lexical+fake-reranker"
    assert answer["hits"][0]["document_id"] == "port"
    for hit in answer["hits"]:
        assert hit["score"] == hit["scores"]["rerank"]
        assert 0 <= hit["score"] <= 1


async def test_what_has_no_text_comes_last(ask: Ask, docs: str) -> None:
    vector = (await ask("POST", "/v1/embeddings", {"input": "port"}))["data"][0]["embedding"]
    points = {"points": [{"id": "silent", "vector": vector}]}
    await ask("POST", f"/v1/collections/{docs}/points", points)
    search = {"query": "port", "rerank": "fake-reranker"}
    hits = (await ask("POST", f"/v1/collections/{docs}/search", search))["hits"]
    assert [hit["id"] for hit in hits][-1] == "silent"
    assert "rerank" not in hits[-1]["scores"]


async def test_nothing_but_silent_points_keeps_its_order(ask: Ask) -> None:
    await ask("PUT", "/v1/collections/own", {"dim": 2}, status=201)
    points = [{"id": "a", "vector": [1, 0]}, {"id": "b", "vector": [0, 1]}]
    await ask("POST", "/v1/collections/own/points", {"points": points})
    search = {"query": "x", "vector": [0, 1], "rerank": "fake-reranker"}
    hits = (await ask("POST", "/v1/collections/own/search", search))["hits"]
    assert [hit["id"] for hit in hits] == ["b", "a"]
