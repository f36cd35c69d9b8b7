"""JSON that more or less fits a schema: right enough to get past the first check, wrong in all other ways.

Knows as much of JSON Schema as /openapi.json uses.
"""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

Schema = Mapping[str, Any]

_FITTING = 30
"""So many parts are as the schema says for one that is not."""

_NUMBERS = st.one_of(
    st.integers(-2, 20),
    st.sampled_from([2**31, 2**63, 2**64, -(2**63) - 1, 10**30]),
    st.floats(allow_nan=False, allow_infinity=False),
)
_KNOWN = ["tides", "fake", "notes", "extractive@notes", "extractive@points", "AACAPwAAAEA="]
_ODD = ["", " ", "a" * 600, "\x00", "$eq", "#0", "../..", "@", "é🌊"]
_TEXTS = st.one_of(st.sampled_from(_KNOWN), st.sampled_from(_ODD), st.text(max_size=8))
_KEYS = st.one_of(st.sampled_from(["$eq", "$in", "$and", "$gt", "lang", "document_id", "", "\x00"]), _TEXTS)
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=3)),
    max_leaves=6,
)


def like(schema: Schema, schemas: Mapping[str, Schema]) -> st.SearchStrategy[Any]:
    """Values of ``schema``, whose references are in ``schemas``; a few of their parts are anything at all."""
    fitting = _fitting(schema, schemas)
    return st.integers(0, _FITTING).flatmap(lambda chance: fitting if chance else ANYTHING)


def _fitting(schema: Schema, schemas: Mapping[str, Schema]) -> st.SearchStrategy[Any]:
    if reference := schema.get("$ref"):
        return like(schemas[reference.rpartition("/")[2]], schemas)
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return st.one_of([like(choice, schemas) for choice in choices])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    return _of_type(schema, schemas)


def _of_type(schema: Schema, schemas: Mapping[str, Schema]) -> st.SearchStrategy[Any]:
    if "properties" in schema:
        return _object(schema, schemas)
    if schema.get("type") == "array":
        items = like(schema.get("items") or {}, schemas)
        return st.lists(items, min_size=schema.get("minItems", 0), max_size=9)
    of_one_kind = {
        "object": st.dictionaries(_KEYS, ANYTHING, max_size=3),
        "string": _TEXTS,
        "integer": _NUMBERS,
        "number": _NUMBERS,
        "boolean": st.booleans(),
        "null": st.none(),
    }
    return of_one_kind.get(schema.get("type", ""), ANYTHING)


def _object(schema: Schema, schemas: Mapping[str, Schema]) -> st.SearchStrategy[Any]:
    """What is required, and up to three fields more: with all of them one would always be wrong."""
    fields = {name: like(field, schemas) for name, field in schema["properties"].items()}
    required = {name: fields.pop(name) for name in schema.get("required", ())}
    if not fields:
        return st.fixed_dictionaries(required)
    some = st.lists(st.sampled_from(sorted(fields)), unique=True, max_size=3)
    return some.flatmap(
        lambda names: st.fixed_dictionaries(required | {name: fields[name] for name in names})
    )
