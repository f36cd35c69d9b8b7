"""TEI's /tokenize and /decode."""

import pytest
from asking import Ask


async def test_every_input_becomes_a_list_of_tokens(ask: Ask) -> None:
    (one,) = await ask("POST", "/tokenize", {"inputs": "Spring tides"})
    assert [token["text"] for token in one] == ["<s>", "Spring", "tides", "</s>"]
    assert {name: one[0][name] for name in ("special", "start", "stop")} == {
        "special": True,
        "start": None,
        "stop": None,
    }
    assert {name: one[2][name] for name in ("special", "start", "stop")} == {
        "special": False,
        "start": 7,
        "stop": 12,
    }
    assert set(one[0]) == {"id", "text", "special", "start", "stop"}


async def test_special_tokens_can_be_left_out(ask: Ask) -> None:
    body = {"inputs": ["Spring", "neap tides"], "add_special_tokens": False}
    answer = await ask("POST", "/tokenize", body)
    assert [[token["text"] for token in text] for text in answer] == [["Spring"], ["neap", "tides"]]


async def test_ids_become_texts(ask: Ask) -> None:
    assert await ask("POST", "/decode", {"ids": [0, 7, 1]}) == ["#7"]
    body = {"ids": [[0, 7, 1], [8]], "skip_special_tokens": False}
    assert await ask("POST", "/decode", body) == ["<s> #7 </s>", "#8"]


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        ("/tokenize", {"inputs": []}, 400, "Empty"),
        ("/tokenize", {"inputs": ""}, 413, "Validation"),
        ("/tokenize", {"inputs": ["x", ""]}, 413, "Validation"),
        ("/tokenize", {"inputs": ["x"] * 2049}, 413, "Validation"),
        ("/tokenize", {"inputs": "x" * (2**18 + 1)}, 413, "Validation"),
        ("/tokenize", {"inputs": "x", "prompt_name": "unheard"}, 413, "Validation"),
        ("/tokenize", {"inputs": [1, 2]}, 422, "Validation"),
        ("/decode", {"ids": []}, 400, "Empty"),
        ("/decode", {"ids": [[]]}, 413, "Validation"),
        ("/decode", {"ids": [-1]}, 413, "Validation"),
        ("/decode", {"ids": "x"}, 422, "Validation"),
    ],
)
async def test_what_cannot_be_done_is_refused_as_tei_does(
    ask: Ask, path: str, body: object, status: int, kind: str
) -> None:
    answer = await ask("POST", path, body, status=status)
    assert set(answer) == {"error", "error_type"}
    assert answer["error_type"] == kind
