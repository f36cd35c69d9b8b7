"""TEI's native routes that embed, as its clients call them."""

import io
from typing import Any

import numpy as np
import pytest
from aiohttp.test_utils import TestClient
from asking import Ask

from api.services.container import Services
from embedd.embedder import Embedder
from embedd.errors import ModelUnavailable, Overloaded, WorkerDied

TEXTS = ["The moon pulls the sea.", "Wind is air that moves."]
STAGES = ("x-compute-time", "x-total-time", "x-tokenization-time", "x-queue-time", "x-inference-time")


async def ours(ask: Ask, texts: list[str], **options: Any) -> list[list[float]]:
    answer = await ask("POST", "/v1/embeddings", {"input": texts, **options})
    return [one["embedding"] for one in answer["data"]]


async def test_texts_become_a_list_of_vectors_and_nothing_around_it(ask: Ask) -> None:
    assert await ask("POST", "/embed", {"inputs": TEXTS}) == await ours(ask, TEXTS)


async def test_one_text_becomes_a_list_of_one_vector(ask: Ask) -> None:
    assert await ask("POST", "/embed", {"inputs": TEXTS[0]}) == await ours(ask, TEXTS[:1])


async def test_token_ids_become_the_vector_of_their_text(ask: Ask) -> None:
    tokens = await ask("POST", "/tokenize", {"inputs": TEXTS})
    ids = [[token["id"] for token in text] for text in tokens]
    expected = await ours(ask, TEXTS)
    assert await ask("POST", "/embed", {"inputs": ids}) == expected
    assert await ask("POST", "/embed", {"inputs": ids[0]}) == expected[:1]
    assert await ask("POST", "/embed", {"inputs": [TEXTS[0], ids[1]]}) == expected


async def test_fewer_dimensions_are_of_length_one_again(ask: Ask) -> None:
    assert await ask("POST", "/embed", {"inputs": TEXTS, "dimensions": 8}) == await ours(
        ask, TEXTS, dimensions=8
    )


async def test_what_took_how_long_is_in_teis_headers(client: TestClient[Any, Any]) -> None:
    response = await client.post("/embed", json={"inputs": TEXTS})
    assert response.headers["x-compute-characters"] == str(sum(map(len, TEXTS)))
    assert response.headers["x-compute-tokens"] == str(8 + 8)
    assert response.headers["x-compute-type"] == "cpu"
    assert all(response.headers[name].isdecimal() for name in STAGES)
    assert "x-truncated-inputs" not in response.headers


@pytest.mark.parametrize("options", [{}, {"truncate": True}, {"truncate": None}])
async def test_a_long_text_is_cut_at_its_end_and_said_to_be(
    client: TestClient[Any, Any], ask: Ask, options: dict[str, Any]
) -> None:
    response = await client.post("/embed", json={"inputs": ["short", "a b " * 300], **options})
    assert response.headers["x-truncated-inputs"] == "1"
    assert await response.json() == await ours(ask, ["short", "a b " * 127])


@pytest.mark.parametrize("direction", ["left", "Left"])
async def test_a_long_text_can_be_cut_at_its_start(ask: Ask, direction: str) -> None:
    text = "first " * 254 + "last " * 254
    body = {"inputs": text, "truncate": True, "truncation_direction": direction}
    assert await ask("POST", "/embed", body) == await ours(ask, ["last " * 254])


async def test_a_long_text_is_refused_if_it_may_not_be_cut(ask: Ask) -> None:
    error = await ask("POST", "/embed", {"inputs": "word " * 300, "truncate": False}, status=413)
    assert error["error_type"] == "Validation"
    assert "302" in error["error"]


async def test_every_token_has_a_vector_of_its_own(ask: Ask, client: TestClient[Any, Any]) -> None:
    response = await client.post("/embed_all", json={"inputs": ["sea sea wind", "sea"]})
    first, second = (np.array(one) for one in await response.json())
    assert (first.shape, second.shape) == ((5, 64), (3, 64))
    np.testing.assert_array_equal(first[1], first[2])
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(first[1], first[3])
    assert response.headers["x-compute-tokens"] == "8"


async def test_all_tokens_of_at_most_32_texts(ask: Ask) -> None:
    error = await ask("POST", "/embed_all", {"inputs": ["x"] * 33}, status=413)
    assert error["error_type"] == "Validation"


async def test_similarity_is_the_cosine_to_the_source(ask: Ask) -> None:
    inputs = {"source_sentence": TEXTS[0], "sentences": [TEXTS[1], TEXTS[0]]}
    other, same = await ask("POST", "/similarity", {"inputs": inputs})
    first, second = np.array(await ours(ask, TEXTS))
    assert other == pytest.approx(first @ second, abs=1e-6)
    assert same == pytest.approx(1.0, abs=1e-6)


async def test_the_parameters_of_similarity_are_those_of_embed(ask: Ask) -> None:
    inputs = {"source_sentence": "x", "sentences": ["word " * 300]}
    await ask("POST", "/similarity", {"inputs": inputs, "parameters": {}})
    await ask("POST", "/similarity", {"inputs": inputs, "parameters": {"truncate": False}}, status=413)


async def test_clients_that_know_only_the_address_embed_and_compare_there(ask: Ask) -> None:
    body = {"inputs": TEXTS, "dimensions": 8, "normalize": True, "truncate": True}
    assert await ask("POST", "/", body) == await ask("POST", "/embed", body)
    pair = {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS}, "parameters": {}}
    assert await ask("POST", "/", pair) == await ask("POST", "/similarity", pair)


async def test_fields_that_we_do_not_know_are_ignored(ask: Ask) -> None:
    await ask("POST", "/embed", {"inputs": "x", "something_new": 1})


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        ("/embed", {"inputs": []}, 400, "Empty"),
        ("/embed", {"inputs": ""}, 413, "Validation"),
        ("/embed", {"inputs": ["fine", " "]}, 413, "Validation"),
        ("/embed", {"inputs": [[]]}, 413, "Validation"),
        ("/embed", {"inputs": [1, "x"]}, 422, "Validation"),
        ("/embed", {"inputs": 5}, 422, "Validation"),
        ("/embed", {}, 422, "Validation"),
        ("/embed", {"inputs": [-1]}, 413, "Validation"),
        ("/embed", {"inputs": "x", "dimensions": 0}, 413, "Validation"),
        ("/embed", {"inputs": "x", "dimensions": 65}, 413, "Validation"),
        ("/embed", {"inputs": "x", "prompt_name": "unheard"}, 413, "Validation"),
        ("/embed", {"inputs": "x", "truncation_direction": "up"}, 422, "Validation"),
        ("/embed", {"inputs": ["x"] * 2049}, 413, "Validation"),
        ("/embed", {"inputs": "x", "normalize": False}, 424, "Backend"),
        ("/embed_all", {"inputs": []}, 400, "Empty"),
        ("/similarity", {"inputs": {"source_sentence": "x", "sentences": []}}, 400, "Empty"),
        ("/similarity", {"inputs": {"source_sentence": "x", "sentences": ["x"] * 2048}}, 413, "Validation"),
        ("/similarity", {"inputs": "x"}, 422, "Validation"),
        ("/", {"inputs": []}, 400, "Empty"),
    ],
)
async def test_what_cannot_be_done_is_refused_as_tei_does(
    ask: Ask, path: str, body: object, status: int, kind: str
) -> None:
    answer = await ask("POST", path, body, status=status)
    assert set(answer) == {"error", "error_type"}
    assert answer["error_type"] == kind


async def test_vectors_are_not_called_raw_that_are_not(ask: Ask) -> None:
    error = await ask("POST", "/embed", {"inputs": "x", "normalize": False}, status=424)
    assert "Normalize module" in error["error"]


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (Overloaded("262144 tokens waiting", 2.5), 429, "Overloaded"),
        (ModelUnavailable("the worker is loading", 2.5), 503, "Unhealthy"),
        (WorkerDied("the worker died", 2.5), 424, "Backend"),
    ],
)
async def test_what_may_pass_says_when_to_come_back(
    client: TestClient[Any, Any], monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, kind: str
) -> None:
    async def embed(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(Embedder, "embed", embed)
    response = await client.post("/embed", json={"inputs": "x"})
    assert response.status == status
    assert response.headers["Retry-After"] == "3"
    assert await response.json() == {"error": str(error), "error_type": kind}


async def test_the_contract_tells_flat_errors_and_bare_lists(ask: Ask) -> None:
    api = await ask("GET", "/openapi.json")
    responses = api["paths"]["/embed"]["post"]["responses"]
    error = responses["default"]["content"]["application/json"]["schema"]
    assert error == {"$ref": "#/components/schemas/TeiErrorAnswer"}
    answer = responses["200"]["content"]["application/json"]["schema"]
    assert answer == {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}


async def test_broken_json_is_a_flat_400(client: TestClient[Any, Any]) -> None:
    response = await client.post("/embed", data=b'{"inputs": ', headers={"Content-Type": "application/json"})
    assert response.status == 400
    assert set(await response.json()) == {"error", "error_type"}


async def test_a_body_over_the_limit_is_a_flat_413(client: TestClient[Any, Any]) -> None:
    response = await client.post("/embed", data=io.BytesIO(b" " * (32 * 2**20 + 1)))
    assert response.status == 413
    assert (await response.json())["error_type"] == "Validation"


async def test_info_has_what_clients_split_their_batches_by(ask: Ask) -> None:
    info = await ask("GET", "/info")
    assert (info["model_id"], info["served_model_name"]) == ("fake", "fake")
    assert info["model_type"] == {"embedding": {"pooling": "sum"}}
    assert (info["max_input_length"], info["max_client_batch_size"]) == (256, 2048)
    assert info["auto_truncate"] is True
    assert info["max_concurrent_requests"] == 262_144 // 256
    assert {
        "model_sha",
        "model_dtype",
        "max_batch_tokens",
        "max_batch_requests",
        "tokenization_workers",
    } <= set(info)
    assert {"version", "sha", "docker_label"} <= set(info)


async def test_health_is_empty_while_requests_should_come(client: TestClient[Any, Any]) -> None:
    response = await client.get("/health")
    assert (response.status, await response.read()) == (200, b"")


async def test_health_turns_bad_with_readiness(ask: Ask, services: Services) -> None:
    services.readiness.close()
    assert await ask("GET", "/health", status=503) == {"error": "unhealthy", "error_type": "Unhealthy"}
