"""POST /v1/tokenize and /v1/detokenize."""

import threading

import pytest
from asking import Ask

from api.services.container import Services
from embedd.encoding import Token

PATH = "/v1/tokenize"
BACK = "/v1/detokenize"


async def test_a_text_becomes_its_tokens_and_where_they_stand(ask: Ask) -> None:
    answer = await ask("POST", PATH, {"input": "Spring tides"})
    assert (answer["model"], answer["max_tokens"]) == ("fake", 256)
    (one,) = answer["data"]
    assert (one["index"], one["count"]) == (0, 4)
    assert set(one["tokens"][0]) == {"id", "text", "special", "start", "stop"}
    shown = [(token["text"], token["special"], token["start"], token["stop"]) for token in one["tokens"]]
    assert shown == [
        ("<s>", True, None, None),
        ("Spring", False, 0, 6),
        ("tides", False, 7, 12),
        ("</s>", True, None, None),
    ]


async def test_places_count_code_points(ask: Ask) -> None:
    text = "𝄞 überall 水"
    answer = await ask("POST", PATH, {"input": text, "add_special_tokens": False})
    tokens = answer["data"][0]["tokens"]
    assert [text[token["start"] : token["stop"]] for token in tokens] == ["𝄞", "überall", "水"]


async def test_special_tokens_can_be_left_out(ask: Ask) -> None:
    answer = await ask("POST", PATH, {"input": "Spring tides", "add_special_tokens": False})
    assert [token["text"] for token in answer["data"][0]["tokens"]] == ["Spring", "tides"]
    assert answer["data"][0]["count"] == 2


async def test_several_texts_keep_their_order(ask: Ask) -> None:
    answer = await ask("POST", PATH, {"input": ["one", "", "two three"], "add_special_tokens": False})
    assert [(one["index"], one["count"]) for one in answer["data"]] == [(0, 1), (1, 0), (2, 2)]


async def test_a_text_is_not_cut_to_what_the_model_takes(ask: Ask) -> None:
    answer = await ask("POST", PATH, {"input": "word " * 5000})
    assert answer["data"][0]["count"] == 5002 > answer["max_tokens"]


async def test_the_count_is_the_one_that_usage_tells(ask: Ask) -> None:
    text = "An acknowledged write survives."
    count = (await ask("POST", PATH, {"input": text}))["data"][0]["count"]
    usage = (await ask("POST", "/v1/embeddings", {"input": text}))["usage"]
    assert usage["prompt_tokens"] == count


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        (PATH, {"input": []}, 422, "input"),
        (PATH, {"input": 5}, 422, "input"),
        (PATH, {}, 422, None),
        (PATH, {"input": "x", "inputs": "x"}, 422, "inputs"),
        (PATH, {"input": "x", "model": "nobody"}, 404, None),
        (PATH, {"input": ["x"] * 2049}, 413, "input"),
        (PATH, {"input": "x" * (2**18 + 1)}, 413, "input"),
        (BACK, {"ids": []}, 422, "ids"),
        (BACK, {"ids": [1, [2]]}, 422, "ids"),
        (BACK, {"ids": [1, 2**31]}, 422, None),
        (BACK, {"ids": [[1], [-1]]}, 422, None),
        (BACK, {"ids": "x"}, 422, "ids"),
        (BACK, {"ids": [1] * (2**18 + 1)}, 413, "ids"),
    ],
)
async def test_what_cannot_be_done_is_refused(
    ask: Ask, path: str, body: object, status: int, param: str | None
) -> None:
    error = (await ask("POST", path, body, status=status))["error"]
    if param is not None:
        assert error["param"] == param


async def test_an_unknown_id_is_named_with_its_input(ask: Ask) -> None:
    error = (await ask("POST", BACK, {"ids": [[1], [-1]]}, status=422))["error"]
    assert "input 1 has the token id -1" in error["message"]


async def test_ids_become_texts_one_or_many(ask: Ask) -> None:
    assert (await ask("POST", BACK, {"ids": [0, 7, 1]})) == {"model": "fake", "texts": ["#7"]}
    many = await ask("POST", BACK, {"ids": [[0, 7, 1], []], "skip_special_tokens": False})
    assert many["texts"] == ["<s> #7 </s>", ""]


async def test_a_long_text_is_read_off_the_loop(
    ask: Ask, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []

    def details(text: str, *, special: bool = True) -> list[Token]:
        names.append(threading.current_thread() is threading.main_thread())
        return []

    monkeypatch.setattr(services.models.embedder().tokenizer, "details", details)
    await ask("POST", PATH, {"input": "x" * 2001})
    await ask("POST", PATH, {"input": "x"})
    assert names == [False, True]
