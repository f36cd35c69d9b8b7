"""Cohere's own client, unmodified, both versions of it, ranking with and without a reranking model."""

from collections.abc import Iterator

import cohere
import httpx
import pytest
from real_service import Launcher, Service

QUERY = "spring tides"
DOCUMENTS = ["Wind is air that moves.", "Spring tides come at new and full moon."]


@pytest.fixture(scope="module")
def ranking(shared_services: Launcher) -> Service:
    """A service with a reranking model besides the embedding one."""
    return shared_services.start("--reranker", "fake-reranker")


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as client:
        yield client


@pytest.mark.parametrize("model", ["fake-reranker", "fake"])
def test_the_second_version_ranks(ranking: Service, http: httpx.Client, model: str) -> None:
    client = cohere.ClientV2(api_key="unused", base_url=ranking.url, httpx_client=http)
    answer = client.rerank(
        model=model, query=QUERY, documents=DOCUMENTS, top_n=1, max_tokens_per_doc=100, priority=1
    )
    (best,) = answer.results
    assert best.index == 1
    assert 0.0 < best.relevance_score < 1.0
    assert answer.id
    assert answer.meta.tokens.input_tokens > 0


def test_the_first_version_ranks_and_gets_the_documents_back(ranking: Service, http: httpx.Client) -> None:
    client = cohere.Client(api_key="unused", base_url=ranking.url, httpx_client=http)
    documents = [{"text": text, "source": "ignored"} for text in DOCUMENTS]
    answer = client.rerank(
        query=QUERY, documents=documents, return_documents=True, rank_fields=["text"], max_chunks_per_doc=1
    )
    assert [one.document.text for one in answer.results] == [DOCUMENTS[1], DOCUMENTS[0]]


def test_what_is_refused_is_an_error_of_the_client(ranking: Service, http: httpx.Client) -> None:
    client = cohere.ClientV2(api_key="unused", base_url=ranking.url, httpx_client=http)
    with pytest.raises(cohere.NotFoundError, match=r"rerank-v3\.5"):
        client.rerank(model="rerank-v3.5", query=QUERY, documents=DOCUMENTS)
    with pytest.raises(cohere.UnprocessableEntityError, match="documents"):
        client.rerank(model="fake", query=QUERY, documents=[])
