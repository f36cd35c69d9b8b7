"""POST /v1/embeddings."""

import base64
import json
from typing import Any

import msgpack
import numpy as np
import pytest
from aiohttp.test_utils import TestClient
from asking import Ask

from api.services.container import Services
from api.settings import Settings
from embedd.fake import FakeTokenizer

PATH = "/v1/embeddings"


async def vectors_of(ask: Ask, **body: Any) -> list[Any]:
    return [one["embedding"] for one in (await ask("POST", PATH, body))["data"]]


async def test_a_text_becomes_one_vector_in_openais_shape(ask: Ask) -> None:
    answer = await ask("POST", PATH, {"input": "hello world", "model": "fake"})
    assert answer["object"] == "list"
    assert answer["model"] == "fake"
    assert [one["index"] for one in answer["data"]] == [0]
    assert len(answer["data"][0]["embedding"]) == 64
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 0


async def test_vectors_come_in_the_order_of_their_texts(ask: Ask) -> None:
    texts = ["one", "two words", "and three words", "one"]
    vectors = [one["embedding"] for one in (await ask("POST", PATH, {"input": texts}))["data"]]
    assert vectors[0] == vectors[3] != vectors[1]


async def test_base64_holds_the_same_float32(ask: Ask) -> None:
    plain = (await ask("POST", PATH, {"input": "same"}))["data"][0]["embedding"]
    coded = (await ask("POST", PATH, {"input": "same", "encoding_format": "base64"}))["data"][0]["embedding"]
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(coded), "<f4"), np.float32(plain))


async def test_msgpack_goes_in_and_raw_float32_comes_out(client: TestClient[Any, Any], ask: Ask) -> None:
    plain = (await ask("POST", PATH, {"input": "same"}))["data"][0]["embedding"]
    headers = {"Content-Type": "application/msgpack", "Accept": "application/msgpack"}
    response = await client.post(PATH, data=msgpack.packb({"input": "same"}), headers=headers)
    answer = msgpack.unpackb(await response.read())
    assert response.content_type == "application/msgpack"
    np.testing.assert_array_equal(np.frombuffer(answer["data"][0]["embedding"], "<f4"), np.float32(plain))


async def test_int8_is_in_steps_of_a_scale_that_is_measured_once(
    ask: Ask, settings: Settings, services: Services
) -> None:
    plain = np.array(await vectors_of(ask, input=["port", "tide"]))
    answer = await ask("POST", PATH, {"input": ["port", "tide"], "output_dtype": "int8"})
    codes = np.array([one["embedding"] for one in answer["data"]])
    assert np.abs(codes).max() <= 127
    np.testing.assert_allclose(codes * answer["scale"], plain, atol=answer["scale"] * 0.51)
    (stored,) = (settings.data / "calibration").iterdir()
    assert stored.stem == services.models.embedder().card.sha256
    assert json.loads(stored.read_text())["whole"] == answer["scale"]


async def test_an_int8_vector_does_not_depend_on_what_it_comes_with(ask: Ask) -> None:
    (alone,) = await vectors_of(ask, input="port", output_dtype="int8")
    among_others = await vectors_of(ask, input=["a", "port", "tide tide"], output_dtype="int8")
    assert among_others[1] == alone


async def test_int8_of_fewer_dimensions_has_a_scale_of_its_own(ask: Ask) -> None:
    (plain,) = await vectors_of(ask, input="port", dimensions=8)
    answer = await ask("POST", PATH, {"input": "port", "dimensions": 8, "output_dtype": "int8"})
    codes = np.array(answer["data"][0]["embedding"])
    np.testing.assert_allclose(codes * answer["scale"], plain, atol=answer["scale"] * 0.51)


async def test_int8_in_base64_is_a_byte_for_each_number(ask: Ask) -> None:
    (codes,) = await vectors_of(ask, input="port", output_dtype="int8")
    (text,) = await vectors_of(ask, input="port", output_dtype="int8", encoding_format="base64")
    assert np.frombuffer(base64.b64decode(text), np.int8).tolist() == codes


async def test_a_large_answer_is_the_same_as_a_small_one(ask: Ask) -> None:
    texts = [f"tide {number}" for number in range(200)]
    for how in ({}, {"encoding_format": "base64"}, {"output_dtype": "int8"}):
        (last,) = await vectors_of(ask, input=texts[-1], **how)
        assert (await vectors_of(ask, input=texts, **how))[-1] == last


async def test_ubinary_packs_the_signs_of_eight_numbers_into_a_byte(ask: Ask) -> None:
    plain = await vectors_of(ask, input=["port", "tide"])
    packed = await vectors_of(ask, input=["port", "tide"], output_dtype="ubinary")
    coded = await vectors_of(
        ask, input=["port", "tide"], output_dtype="ubinary", encoding_format="base64", dimensions=16
    )
    assert packed == np.packbits(np.array(plain) > 0, axis=1).tolist()
    assert [list(base64.b64decode(text)) for text in coded] == [row[:2] for row in packed]


async def test_ubinary_in_msgpack_is_the_bytes_themselves(client: TestClient[Any, Any], ask: Ask) -> None:
    (packed,) = await vectors_of(ask, input="port", output_dtype="ubinary")
    body = {"input": "port", "output_dtype": "ubinary", "encoding_format": "base64"}
    response = await client.post(PATH, json=body, headers={"Accept": "application/msgpack"})
    answer = msgpack.unpackb(await response.read())
    assert answer["data"][0]["embedding"] == bytes(packed)


async def test_fewer_dimensions_are_cut_and_of_length_one_again(ask: Ask) -> None:
    full = (await ask("POST", PATH, {"input": "cut me"}))["data"][0]["embedding"]
    short = (await ask("POST", PATH, {"input": "cut me", "dimensions": 8}))["data"][0]["embedding"]
    expected = np.float32(full[:8]) / np.linalg.norm(full[:8])
    np.testing.assert_allclose(short, expected, rtol=1e-5)


async def test_a_cut_input_is_reported_in_the_answer_and_the_header(client: TestClient[Any, Any]) -> None:
    response = await client.post(PATH, json={"input": ["short", "word " * 1000]})
    answer = await response.json()
    assert [cut["index"] for cut in answer["truncated"]] == [1]
    assert answer["truncated"][0]["tokens"] > answer["truncated"][0]["kept"]
    assert response.headers["x-truncated-inputs"] == "1"


async def test_token_ids_give_the_vector_of_the_text_they_are_of(ask: Ask) -> None:
    (plain,) = await vectors_of(ask, input="hello world")
    ids = ids_of("hello world")
    assert await vectors_of(ask, input=ids) == [plain]
    assert await vectors_of(ask, input=[ids, ids[1:-1]]) == [plain, plain]


def ids_of(text: str) -> list[int]:
    """With the special tokens around them."""
    (encoding,) = FakeTokenizer().encode([text], 256, "none")
    return [int(one) for one in encoding.ids]


async def test_the_headers_say_what_a_request_took(client: TestClient[Any, Any]) -> None:
    response = await client.post(PATH, json={"input": ["hello", "hello world"]})
    usage = (await response.json())["usage"]
    assert response.headers["x-compute-tokens"] == str(usage["prompt_tokens"]) == "7"
    assert response.headers["x-compute-characters"] == "16"
    assert response.headers["x-compute-type"] == "cpu"
    for stage in ("total", "queue", "tokenization", "inference"):
        assert int(response.headers[f"x-{stage}-time"]) >= 0


async def test_a_header_lists_the_first_of_very_many_cut_inputs_and_the_answer_all(
    client: TestClient[Any, Any],
) -> None:
    response = await client.post(PATH, json={"input": ["word " * 300] * 600})
    listed = response.headers["x-truncated-inputs"].split(",")
    assert listed == [*map(str, range(500)), "..."]
    assert len((await response.json())["truncated"]) == 600


async def test_fields_of_openais_clients_that_we_do_not_know_are_ignored(ask: Ask) -> None:
    await ask("POST", PATH, {"input": "x", "user": "me", "something_new": 1})


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": []}, "input"),
        ({"input": ""}, None),
        ({"input": ["fine", "   "]}, None),
        ({"input": 5}, "input"),
        ({"input": ["one", [1, 2]]}, "input"),
        ({"input": [1, [2]]}, "input"),
        ({}, None),
        ({"input": "x", "dimensions": 65}, "dimensions"),
        ({"input": "x", "dimensions": 0}, "dimensions"),
        ({"input": "x", "encoding_format": "int4"}, "encoding_format"),
        ({"input": "x", "dimensions": 12, "output_dtype": "ubinary"}, "dimensions"),
        ({"input": "x", "output_dtype": "int4"}, "output_dtype"),
        ({"input": "x", "prompt_name": "unheard"}, "prompt_name"),
        ({"input": ["word " * 1000], "truncate": "none"}, None),
    ],
)
async def test_what_cannot_be_embedded_is_a_400(ask: Ask, body: object, param: str | None) -> None:
    error = (await ask("POST", PATH, body, status=400))["error"]
    assert error["type"] == "invalid_request_error"
    if param is not None:
        assert error["param"] == param


async def test_an_unknown_model_is_a_404_that_names_the_known_ones(ask: Ask) -> None:
    error = (await ask("POST", PATH, {"input": "x", "model": "gpt"}, status=404))["error"]
    assert error["code"] == "model_not_found"
    assert "fake" in error["message"]


async def test_too_many_texts_are_a_413(ask: Ask) -> None:
    error = (await ask("POST", PATH, {"input": ["x"] * 2049}, status=413))["error"]
    assert "2048" in error["message"]


async def test_broken_json_is_a_400(client: TestClient[Any, Any]) -> None:
    response = await client.post(PATH, data=b'{"input": ', headers={"Content-Type": "application/json"})
    assert response.status == 400
    assert (await response.json())["error"]["code"] == "malformed_body"


async def test_another_content_type_is_a_415(client: TestClient[Any, Any]) -> None:
    response = await client.post(PATH, data="input=x", headers={"Content-Type": "text/csv"})
    assert response.status == 415
