"""Documents and filters for hypothesis: all operators, values of all types, keys that lead into objects."""

from typing import Any

from hypothesis import strategies as st

from index.filters import MAX_CHOICES, MAX_CONDITIONS, MAX_DEPTH, MAX_STEPS

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)
keys = st.sampled_from(["a", "b", 'quo"te', "ключ", "a.b", "b.a.b", "$", "", "line\nbreak"])
numbers = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.1, 0.30000000000000004, 2.0, -0.0, 2**64, -(2**70), 2**63 - 1]),
)
scalars = st.one_of(texts, numbers, st.booleans(), st.none())
stored = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(keys, texts), inner, max_size=3)
    ),
    max_leaves=4,
)
ids = st.sampled_from(["doc", "doc/1", "ünï", "z"])
choice = st.one_of(scalars, st.just("nul\0"))
operand = st.one_of(texts, numbers, st.just("a\0"))
operators = st.one_of(
    *(st.fixed_dictionaries({name: choice}) for name in ("$eq", "$ne", "$contains", "$not_contains")),
    *(st.fixed_dictionaries({name: st.lists(choice, max_size=4)}) for name in ("$in", "$nin")),
    *(st.fixed_dictionaries({name: operand}) for name in ("$gt", "$gte", "$lt", "$lte")),
    st.fixed_dictionaries({"$exists": st.booleans()}),
    st.fixed_dictionaries({"$gte": operand, "$lt": operand}),
)
leaves = st.dictionaries(
    st.one_of(keys.filter(lambda key: not key.startswith("$")), st.just("document_id")),
    st.one_of(choice, ids, operators),
    max_size=2,
)
filters = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"$and": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"$or": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"$not": inner}),
    ),
    max_leaves=4,
)
rows = st.lists(st.tuples(ids, st.dictionaries(keys, stored, max_size=4)), min_size=1, max_size=6)
tags = st.lists(st.sampled_from(["a", "b", "te'am", "ключ"]), max_size=3)

_LONG_KEY = ".".join("a" * MAX_STEPS)


def _deep() -> dict[str, Any]:
    source: dict[str, Any] = {_LONG_KEY: {"$not_contains": "x"}}
    for n in range(MAX_DEPTH - 1):
        source = {"$not": source} if n % 2 else {"$or": [source, {_LONG_KEY: 1}]}
    return source


LARGEST: list[dict[str, Any]] = [
    _deep(),
    {"$and": [{_LONG_KEY: {"$contains": n}} for n in range(MAX_CONDITIONS)]},
    {_LONG_KEY: {"$nin": list(range(MAX_CHOICES))}},
]
"""Those at the limits of the language."""
