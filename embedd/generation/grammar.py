"""What an answer must look like, as the worker's grammar: for response formats, and for tools to be called.

Knows llguidance's Lark and JSON schemas as text; whether a grammar is valid is the worker's to say.
https://github.com/guidance-ai/llguidance, docs/syntax.md
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from embedd.conversation import Tool, Tools
from embedd.errors import InvalidInput
from embedd.generation.tool_calls import ToolSyntax
from embedd.generation.vocabulary import Vocabulary
from embedd.sampling import ResponseFormat

Grammar = Mapping[str, str]
"""The contract's: ``{"kind": "json_object" | "json_schema" | "lark", "value": text}``."""

_ANY_OBJECT: Mapping[str, Any] = {"type": "object"}
_OPENING = frozenset({"additionalProperties", "patternProperties", "$ref", "allOf", "anyOf", "oneOf"})
# Between the parts of JSON: models that may write any space sometimes write nothing else.
_ONE_BLANK: Mapping[str, Any] = {"x-guidance": {"whitespace_pattern": " "}}


def grammar_of(
    wanted: ResponseFormat | None, tools: Tools, syntax: ToolSyntax | None, vocabulary: Vocabulary
) -> Grammar | None:
    """The grammar of an answer, None where it is free.

    Raises:
        InvalidInput: tools must be called, and the model has no way to.
    """
    if forced := tools.forced:
        if syntax is None:
            raise InvalidInput("the model's chat template knows of no tools: `tool_choice` must be none")
        several = tools.parallel and tools.choice.name is None
        return {"kind": "lark", "value": calls_grammar(forced, syntax, vocabulary, several=several)}
    if wanted is None:
        return None
    if wanted.kind == "json_object":
        return {"kind": "json_object"}
    return {"kind": "json_schema", "value": json.dumps(wanted.schema)}


def calls_grammar(tools: Sequence[Tool], syntax: ToolSyntax, vocabulary: Vocabulary, *, several: bool) -> str:
    """Lark for a call of one of ``tools``, or for one after another.

    Each tool's parameters are a JSON grammar of their own, so that references in them find their root.
    """
    rules = [f"start: {_calls(syntax, vocabulary, several=several)}"]
    rules.append("call: " + " | ".join(f"call_{number}" for number in range(len(tools))))
    for number, tool in enumerate(tools):
        before = f'{{"name": {json.dumps(tool.name)}, "{syntax.arguments}": '
        rules.append(f'call_{number}: {_literal(before)} arguments_{number} "}}"')
        schema = {**_closed(tool.parameters or _ANY_OBJECT), **_ONE_BLANK}
        rules.append(f"arguments_{number}: %json {json.dumps(schema)}")
    return "\n".join(rules) + "\n"


def _closed(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without arguments that nobody has described, unless the schema speaks of such itself."""
    speaks = _OPENING & schema.keys()
    return schema if speaks else {**schema, "additionalProperties": False}


def _calls(syntax: ToolSyntax, vocabulary: Vocabulary, *, several: bool) -> str:
    if syntax.close:
        opening, closing = _mark(syntax.open, vocabulary), _mark(syntax.close, vocabulary)
        one = f'{opening} "\\n" call "\\n" {closing}'
        return f'{one} ("\\n" {one})*' if several else one
    if syntax.listed:
        listed = '"[" call (", " call)* "]"' if several else '"[" call "]"'
        return f"{_mark(syntax.open, vocabulary)} {listed}"
    return 'call ("; " call)*' if several else "call"


def _mark(mark: str, vocabulary: Vocabulary) -> str:
    """The token that the mark is, by its id, or its text where it is none."""
    id = vocabulary.id_of(mark)
    return _literal(mark) if id is None else f"<[{id}]>"


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
