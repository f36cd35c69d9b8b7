"""Grammars for the worker: accepted by llguidance, and only what they should let through."""

import json

import language_tokenizers
import llguidance
import pytest
import tokenizers

from embedd.conversation import Tool, ToolChoice, Tools
from embedd.errors import InvalidInput
from embedd.generation.grammar import Grammar, grammar_of
from embedd.generation.tool_calls import HERMES, LLAMA3, MISTRAL, ToolSyntax
from embedd.generation.vocabulary import Vocabulary
from embedd.sampling import ResponseFormat

TEXT = language_tokenizers.byte_level()
VOCABULARY = Vocabulary(TEXT)
PORT = {
    "type": "object",
    "properties": {"port": {"$ref": "#/$defs/port"}},
    "required": ["port"],
    "additionalProperties": False,
    "$defs": {"port": {"type": "string"}},
}
OFFERED = (Tool("tide", "", PORT), Tool("wind"))
ONE = '{"name": "tide", "ARGUMENTS": {"port": "Kiel"}}'
OTHER = '{"name": "wind", "ARGUMENTS": {}}'


def accepts(grammar: Grammar | None, text: str) -> bool:
    assert grammar is not None
    compiled = llguidance.grammar_from(grammar["kind"], grammar["value"])
    tokenizer = llguidance.LLTokenizer(TEXT)
    assert not llguidance.LLMatcher.validate_grammar(compiled, tokenizer)
    matcher = llguidance.LLMatcher(tokenizer, compiled, log_level=0)
    ids = tokenizers.Tokenizer.from_str(TEXT).encode(text, add_special_tokens=False).ids
    return bool(
        matcher.validate_tokens(ids) == len(ids) and matcher.consume_tokens(ids) and matcher.is_accepting()
    )


def written(syntax: ToolSyntax, *calls: str) -> str:
    objects = [call.replace("ARGUMENTS", syntax.arguments) for call in calls]
    if syntax == MISTRAL:
        return f"[TOOL_CALLS][{', '.join(objects)}]"
    if syntax == LLAMA3:
        return "; ".join(objects)
    return "\n".join(f"<tool_call>\n{one}\n</tool_call>" for one in objects)


def forced(choice: ToolChoice, syntax: ToolSyntax, *, parallel: bool = True) -> Grammar | None:
    return grammar_of(None, Tools(OFFERED, choice, parallel), syntax, VOCABULARY)


@pytest.mark.parametrize("syntax", [HERMES, MISTRAL, LLAMA3], ids=["hermes", "mistral", "llama3"])
class TestToolsThatMustBeCalled:
    def test_any_of_them_may_be_and_several_times(self, syntax: ToolSyntax) -> None:
        grammar = forced(ToolChoice("required"), syntax)
        assert accepts(grammar, written(syntax, ONE))
        assert accepts(grammar, written(syntax, OTHER, ONE))
        assert not accepts(grammar, "High water is at six.")
        assert not accepts(grammar, written(syntax, ONE.replace("Kiel", 'Kiel", "more": "x')))
        assert not accepts(grammar, written(syntax, ONE.replace("tide", "flood")))

    def test_arguments_are_those_that_were_described_and_stand_close_together(
        self, syntax: ToolSyntax
    ) -> None:
        grammar = forced(ToolChoice("required"), syntax)
        assert not accepts(grammar, written(syntax, OTHER.replace("{}", '{"more": 1}')))
        assert not accepts(grammar, written(syntax, ONE.replace('{"port"', '{ \n "port"')))

    def test_one_call_is_enough_where_more_are_not_allowed(self, syntax: ToolSyntax) -> None:
        grammar = forced(ToolChoice("required"), syntax, parallel=False)
        assert accepts(grammar, written(syntax, ONE))
        assert not accepts(grammar, written(syntax, ONE, OTHER))

    def test_the_named_one_must_be_and_once(self, syntax: ToolSyntax) -> None:
        grammar = forced(ToolChoice("required", "wind"), syntax)
        assert accepts(grammar, written(syntax, OTHER))
        assert not accepts(grammar, written(syntax, ONE))
        assert not accepts(grammar, written(syntax, OTHER, OTHER))

    def test_tools_that_may_be_called_leave_the_answer_free(self, syntax: ToolSyntax) -> None:
        assert forced(ToolChoice("auto"), syntax) is None
        assert forced(ToolChoice("none"), syntax) is None


def test_a_model_whose_template_knows_of_no_tools_cannot_be_made_to_call_them() -> None:
    with pytest.raises(InvalidInput, match="template knows of no tools"):
        grammar_of(None, Tools(OFFERED, ToolChoice("required")), None, VOCABULARY)


def test_response_formats_are_the_contracts_grammars() -> None:
    any_object = ResponseFormat("json_object")
    assert grammar_of(any_object, Tools(), None, VOCABULARY) == {"kind": "json_object"}
    shaped = grammar_of(ResponseFormat("json_schema", "port", PORT), Tools(), None, VOCABULARY)
    assert shaped == {"kind": "json_schema", "value": json.dumps(PORT)}
    assert accepts(shaped, '{"port": "Kiel"}')
    assert grammar_of(None, Tools(), None, VOCABULARY) is None
