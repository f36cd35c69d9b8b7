"""Tool calls in the syntax of each family, told while they come, wherever the pieces are cut."""

import itertools
import json

import chat_templates
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedd.generation.tool_calls import HERMES, LLAMA3, MISTRAL, ToolCallReader, ToolSyntax, syntax_of
from embedd.generators import ToolCallPiece

PORT = '{"port": "Kiel \\"{[\\\\", "days": [1, {"x": 2}]}'
HERMES_TWO = (
    f'One moment.\n<tool_call>\n{{"name": "tide", "arguments": {PORT}}}\n</tool_call>\n'
    '<tool_call>\n{"arguments": {}, "name": "wind"}\n</tool_call>'
)
MISTRAL_TWO = (
    f'[TOOL_CALLS] [{{"name": "tide", "arguments": {PORT}}}, '
    '{"name": "wind", "arguments": {}, "id": "1"}]'
)
LLAMA_TWO = f'{{"name": "tide", "parameters": {PORT}}}; {{"name": "wind", "parameters": {{}}}}'


def hear(
    syntax: ToolSyntax, pieces: list[str], *, parallel: bool = True
) -> tuple[str, list[tuple[str, str, str]]]:
    """The content, and for each call its id, its name and its arguments."""
    reader = ToolCallReader(syntax, (f"call_{n}" for n in itertools.count()), parallel=parallel)
    heard = [*(reader.add(piece) for piece in pieces), reader.finish()]
    calls: dict[int, list[ToolCallPiece]] = {}
    for piece in itertools.chain.from_iterable(one.calls for one in heard):
        calls.setdefault(piece.index, []).append(piece)
    for told in calls.values():
        assert told[0].name is not None, "the first piece of a call names it"
        assert all(piece.name is None and piece.id is None for piece in told[1:])
    return "".join(one.content for one in heard), [
        (str(told[0].id), str(told[0].name), "".join(piece.arguments for piece in told))
        for _, told in sorted(calls.items())
    ]


@pytest.mark.parametrize(
    ("name", "syntax"), [("qwen", HERMES), ("llama3", LLAMA3), ("mistral", MISTRAL), ("chatml", None)]
)
def test_the_syntax_is_the_one_that_the_template_teaches(name: str, syntax: ToolSyntax | None) -> None:
    assert syntax_of(chat_templates.ALL[name]) == syntax


@pytest.mark.parametrize(
    ("syntax", "text", "content"),
    [(HERMES, HERMES_TWO, "One moment.\n"), (MISTRAL, MISTRAL_TWO, ""), (LLAMA3, LLAMA_TWO, "")],
    ids=["hermes", "mistral", "llama3"],
)
class TestEachSyntax:
    @given(cuts=st.sets(st.integers(0, 200)))
    def test_calls_are_told_the_same_wherever_the_text_is_cut(
        self, syntax: ToolSyntax, text: str, content: str, cuts: set[int]
    ) -> None:
        borders = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
        pieces = [text[first:last] for first, last in itertools.pairwise(borders)]
        said, calls = hear(syntax, pieces)
        assert said == content
        assert [(name, json.loads(arguments)) for _, name, arguments in calls] == [
            ("tide", json.loads(PORT)),
            ("wind", {}),
        ]
        assert calls[0][0] != calls[1][0]

    def test_one_call_is_all_that_is_heard_where_more_are_not_allowed(
        self, syntax: ToolSyntax, text: str, content: str
    ) -> None:
        said, calls = hear(syntax, list(text), parallel=False)
        assert said == content
        assert [name for _, name, _ in calls] == ["tide"]


def test_arguments_are_told_while_they_grow() -> None:
    reader = ToolCallReader(HERMES, iter(["a"]))
    reader.add('<tool_call>\n{"name": "tide", "arguments": {"po')
    (piece,) = reader.add('rt": "Ki').calls
    assert piece == ToolCallPiece(0, arguments='rt": "Ki')


def test_arguments_written_as_a_string_are_its_text() -> None:
    text = '<tool_call>{"name": "tide", "arguments": "{\\"port\\": 1}"}</tool_call>'
    assert hear(HERMES, list(text)) == ("", [("call_0", "tide", '{"port": 1}')])


@pytest.mark.parametrize("syntax", [HERMES, MISTRAL, LLAMA3])
@pytest.mark.parametrize("text", ["High water is at six.", " {x: <tool", '{"names": 1}', "\n\n", "<", ""])
def test_an_answer_without_calls_stays_as_it_is(syntax: ToolSyntax, text: str) -> None:
    assert hear(syntax, list(text)) == (text, [])


def test_a_call_behind_the_python_tag_is_a_call() -> None:
    text = '<|python_tag|>{"name": "tide", "parameters": {"port": "Kiel"}}'
    assert hear(LLAMA3, list(text)) == ("", [("call_0", "tide", '{"port": "Kiel"}')])


def test_a_call_that_breaks_off_is_told_as_far_as_it_goes() -> None:
    said, calls = hear(HERMES, ['<tool_call>{"name": "tide", "arguments": {"port": "Ki'])
    assert (said, calls) == ("", [("call_0", "tide", '{"port": "Ki')])
