"""Hugging Face's own client, unmodified, spoken to as it speaks to text-embeddings-inference."""

import numpy as np
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from real_service import Service

TEXTS = ["The moon pulls the sea.", "Wind is air that moves."]


@pytest.fixture
def client(service: Service) -> InferenceClient:
    """Knows an address and nothing else."""
    return InferenceClient(model=service.url, timeout=30.0)


@pytest.fixture
def vectors(service: Service) -> np.ndarray:
    """What the service gives for ``TEXTS`` in its own name."""
    with service.client() as client:
        answer = client.post("/v1/embeddings", json={"input": TEXTS}).raise_for_status().json()
    return np.array([one["embedding"] for one in answer["data"]], dtype=np.float32)


def test_features_are_the_vectors_of_the_texts(client: InferenceClient, vectors: np.ndarray) -> None:
    np.testing.assert_array_equal(client.feature_extraction(TEXTS), vectors)
    np.testing.assert_array_equal(client.feature_extraction(TEXTS[0]), vectors[:1])


def test_features_take_the_options_of_the_client(client: InferenceClient) -> None:
    long = "first " * 254 + "last " * 254
    cut = client.feature_extraction(
        long, normalize=True, truncate=True, truncation_direction="left", dimensions=8
    )
    np.testing.assert_array_equal(cut, client.feature_extraction("last " * 254, dimensions=8))


def test_features_can_be_asked_for_by_route(service: Service, vectors: np.ndarray) -> None:
    client = InferenceClient(model=f"{service.url}/embed", timeout=30.0)
    np.testing.assert_array_equal(client.feature_extraction(TEXTS), vectors)


def test_sentences_are_compared(client: InferenceClient, vectors: np.ndarray) -> None:
    other, same = client.sentence_similarity(TEXTS[0], other_sentences=[TEXTS[1], TEXTS[0]])
    assert other == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-6)
    assert same == pytest.approx(1.0, abs=1e-6)


def test_what_is_refused_is_an_error_of_the_client(client: InferenceClient) -> None:
    with pytest.raises(HfHubHTTPError) as caught:
        client.feature_extraction("word " * 300, truncate=False)
    assert caught.value.response.status_code == 413
    assert caught.value.response.json()["error_type"] == "Validation"
