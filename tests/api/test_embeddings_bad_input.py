"""What no client should send to POST /v1/embeddings, and what becomes of it.

Models with missing or corrupt files are in test_models.py.
"""

from typing import Any

import msgpack
import pytest
from aiohttp.test_utils import TestClient
from asking import Ask

PATH = "/v1/embeddings"
JSON = {"Content-Type": "application/json"}


async def refusal(ask: Ask, status: int = 400, **body: Any) -> Any:
    error = (await ask("POST", PATH, body, status=status))["error"]
    assert error["type"] == "invalid_request_error"
    return error


async def test_an_empty_list_is_refused(ask: Ask) -> None:
    error = await refusal(ask, input=[])
    assert error["param"] == "input"
    assert "at least one" in error["message"]


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u3000"])
async def test_a_text_without_a_word_is_refused_by_its_index(ask: Ask, text: str) -> None:
    assert "input 1 is empty" in (await refusal(ask, input=["fine", text]))["message"]


async def test_more_texts_than_the_limit_are_refused_with_it(ask: Ask) -> None:
    error = await refusal(ask, 413, input=["tide"] * 10_000)
    assert error["code"] == "payload_too_large"
    assert "10000 inputs, the limit is 2048" in error["message"]


@pytest.mark.parametrize("truncate", ["start", "end"])
async def test_a_text_of_a_megabyte_is_cut_and_reported(client: TestClient[Any, Any], truncate: str) -> None:
    response = await client.post(PATH, json={"input": "tide " * 200_000, "truncate": truncate})
    answer = await response.json()
    assert response.status == 200
    assert response.headers["x-truncated-inputs"] == "0"
    (cut,) = answer["truncated"]
    assert cut["index"] == 0
    assert cut["tokens"] > cut["kept"] == 256
    assert answer["usage"]["prompt_tokens"] == 256


async def test_a_text_of_a_megabyte_is_refused_if_it_may_not_be_cut(ask: Ask) -> None:
    error = await refusal(ask, input=["fine", "tide " * 200_000], truncate="none")
    assert "input 1 has" in error["message"]
    assert "the model takes 256" in error["message"]


async def test_a_megabyte_without_a_blank_is_no_trouble(ask: Ask) -> None:
    answer = await ask("POST", PATH, {"input": "A" * 1_000_000})
    assert len(answer["data"]) == 1


@pytest.mark.parametrize("text", [b'"\\ud800"', b'["a", "b\\udfff"]', b'"\xed\xa0\x80"'])
async def test_half_a_surrogate_pair_in_json_is_malformed(client: TestClient[Any, Any], text: bytes) -> None:
    response = await client.post(PATH, data=b'{"input": %b}' % text, headers=JSON)
    error = (await response.json())["error"]
    assert (response.status, error["code"]) == (400, "malformed_body")


async def test_half_a_surrogate_pair_in_msgpack_is_malformed(client: TestClient[Any, Any]) -> None:
    body = msgpack.packb({"input": "\ud800"}, unicode_errors="surrogatepass")
    response = await client.post(PATH, data=body, headers={"Content-Type": "application/msgpack"})
    assert (response.status, (await response.json())["error"]["code"]) == (400, "malformed_body")


async def test_fields_that_nobody_knows_are_ignored(ask: Ask) -> None:
    await ask("POST", PATH, {"input": "tide", "user": "me", "extra_body": {"deep": [1]}, "dimension": 3})


@pytest.mark.parametrize("dimensions", [-1, 0, 65, 2**31, 2**64, 1.5, "8", True])
async def test_dimensions_that_the_model_does_not_have_are_refused(ask: Ask, dimensions: object) -> None:
    assert (await refusal(ask, input="tide", dimensions=dimensions))["param"] == "dimensions"


async def test_dimensions_are_checked_before_any_work(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("embedd.embedder.Embedder.embed")
    await refusal(ask, input="tide", dimensions=65)
    await refusal(ask, input="tide", dimensions=60, output_dtype="ubinary")


async def test_bits_come_in_bytes(ask: Ask) -> None:
    error = await refusal(ask, input="tide", dimensions=60, output_dtype="ubinary")
    assert error["param"] == "dimensions"
    assert "multiple of 8, not 60" in error["message"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("encoding_format", "base65"),
        ("encoding_format", None),
        ("output_dtype", "uint4"),
        ("truncate", "middle"),
        ("truncate", True),
        ("prompt_name", "unheard"),
        ("input_type", "qeury"),
        ("model", 7),
    ],
)
async def test_a_wrong_value_is_refused_by_its_field(ask: Ask, field: str, value: object) -> None:
    assert (await refusal(ask, input="tide", **{field: value}))["param"] == field


@pytest.mark.parametrize(
    "value", [None, 5, 1.5, True, {}, {"text": "tide"}, [None], [1.5], [["tide"]], [True]]
)
async def test_an_input_that_is_no_text_is_refused(ask: Ask, value: object) -> None:
    assert (await refusal(ask, input=value))["param"].startswith("input")


@pytest.mark.parametrize("unknown", [-1, 2**31, 2**63])
async def test_an_id_that_is_not_in_the_vocabulary_names_the_usual_reason(ask: Ask, unknown: int) -> None:
    error = await refusal(ask, input=[[5, 6], [5, unknown]])
    assert f"input 1 has the token id {unknown}" in error["message"]
    assert "check_embedding_ctx_length=False" in error["message"]


@pytest.mark.parametrize("mixed", [["tide", 5], [5, "tide"], [5, [6]], ["tide", [5]], [[5], "tide"]])
async def test_texts_and_token_ids_are_not_mixed(ask: Ask, mixed: object) -> None:
    error = await refusal(ask, input=mixed)
    assert error["param"] == "input"
    assert "mixes" in error["message"]


async def test_an_empty_list_of_ids_is_refused_by_its_index(ask: Ask) -> None:
    assert "input 1 is empty" in (await refusal(ask, input=[[5], []]))["message"]


async def test_a_hundred_thousand_ids_are_cut_like_a_text(ask: Ask) -> None:
    answer = await ask("POST", PATH, {"input": [5] * 100_000})
    assert answer["truncated"] == [{"index": 0, "tokens": 100_002, "kept": 256}]


async def test_a_vector_of_wrong_base64_is_refused_where_vectors_go_in(ask: Ask, docs: str) -> None:
    answer = await ask("POST", f"/v1/collections/{docs}/search", {"vector": "not base64!"}, status=422)
    assert (answer["error"]["param"], "base64" in answer["error"]["message"]) == ("vector", True)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'"input"', b"{", b'{"input": "a"} {}', b"\xff\xfe", b"[" * 100_000]
)
async def test_a_body_that_is_no_object_is_refused(client: TestClient[Any, Any], body: bytes) -> None:
    response = await client.post(PATH, data=body, headers=JSON)
    assert response.status == 400
    assert (await response.json())["error"]["type"] == "invalid_request_error"
