"""Answers by a grammar: whatever the model would rather say, they parse."""

import json
from pathlib import Path

import pytest
from tiny_generators import answer_of, build_generator, open_engine, prompts, request_of, run_all, run_steps
from tokenizers import Tokenizer

from embedd.worker.generation.grammar import Grammars, InvalidGrammar
from embedd.worker.generation.requests import Request

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "kind": {"enum": ["river", "fox"]},
        "heights": {"type": "array", "items": {"type": "integer", "maximum": 99}, "maxItems": 3},
    },
    "required": ["name", "kind", "heights"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_generator(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def grammars(folder: Path) -> Grammars:
    return Grammars(folder, 300)


def text_of(folder: Path, request: Request) -> str:
    return Tokenizer.from_file(str(folder / "tokenizer.json")).decode(answer_of(request))


@pytest.mark.parametrize("speculate", [False, True])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_answer_by_a_schema_is_what_the_schema_says(
    folder: Path, grammars: Grammars, temperature: float, *, speculate: bool
) -> None:
    asked = {"kind": "json_schema", "value": json.dumps(SCHEMA)}
    requests = [
        request_of(
            n,
            prompt,
            300,
            temperature=temperature,
            seed=n,
            grammar=grammars.compile(asked),
            speculate=speculate,
        )
        for n, prompt in enumerate(prompts([10, 20, 30, 5]))
    ]
    run_all(open_engine(folder), requests)
    for request in requests:
        found = json.loads(text_of(folder, request))
        assert set(found) == {"name", "kind", "heights"}
        assert found["kind"] in {"river", "fox"}
        assert request.finish_reason == "stop"


def test_answers_by_a_grammar_are_the_same_with_drafts_and_without(folder: Path, grammars: Grammars) -> None:
    asked = {"kind": "json_schema", "value": json.dumps(SCHEMA)}
    drafted, plain = (
        request_of(
            1, [5, 6], 300, temperature=0.8, seed=4, grammar=grammars.compile(asked), speculate=speculate
        )
        for speculate in (True, False)
    )
    assert run_all(open_engine(folder), [drafted]) == run_all(open_engine(folder), [plain])
    assert drafted.accepted > 0


def test_what_a_grammar_forces_is_guessed_right(folder: Path, grammars: Grammars) -> None:
    grammar = grammars.compile({"kind": "lark", "value": 'start: "the river stands high over the snow"'})
    engine, request = open_engine(folder), request_of(1, [5], 100, grammar=grammar, speculate=True)
    engine.add(request)
    steps = len(run_steps(engine))
    assert text_of(folder, request) == "the river stands high over the snow"
    assert steps < len(answer_of(request)) / 2


def test_any_object_is_an_object(folder: Path, grammars: Grammars) -> None:
    prompt = prompts([40])[0]
    request = request_of(
        1, prompt, 400, grammar=grammars.compile({"kind": "json_object"}), temperature=0.7, seed=3
    )
    run_all(open_engine(folder), [request])
    text = text_of(folder, request)
    assert text.startswith("{")
    if request.finish_reason == "stop":
        assert isinstance(json.loads(text), dict)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"kind": "json_schema", "value": "{"}, None),
        ({"kind": "json_schema", "value": '{"type": "no such type"}'}, "type"),
        ({"kind": "json_schema", "value": '{"$ref": "#/$defs/missing"}'}, "missing"),
        ({"kind": "lark", "value": "start: ("}, None),
        ({"kind": "lark", "value": "begin: /a/"}, "start"),
    ],
)
def test_what_is_no_grammar_is_refused_with_what_is_wrong(
    grammars: Grammars, asked: dict[str, str], message: str | None
) -> None:
    with pytest.raises(InvalidGrammar, match=message):
        grammars.compile(asked)


def test_a_model_without_a_tokenizer_has_no_grammars(tmp_path: Path) -> None:
    with pytest.raises(InvalidGrammar, match=r"no tokenizer\.json"):
        Grammars(tmp_path, 300).compile({"kind": "json_object"})


def test_a_grammar_is_compiled_once_and_its_users_do_not_meet(folder: Path) -> None:
    grammars = Grammars(folder, 300)
    asked = {"kind": "lark", "value": 'start: "ab"'}
    first, second = grammars.compile(asked), grammars.compile(asked)
    [letter] = first.forced()[:1]
    first.accept(letter)
    assert first.forced() != second.forced()
