"""What a document can be filtered by: under every key that a filter can name, what the filter means by it."""

import random

from random_filters import random_metadata

from index.filter_match import MISSING, comparable, value_at
from index.filters import ACL, DOCUMENT_ID
from index.milvus.terms import MOST_TERMS, attributes_of, term


def test_a_key_has_the_terms_of_the_value_that_a_filter_means_by_it() -> None:
    dice = random.Random(1)
    for _ in range(500):
        metadata = random_metadata(dice)
        attributes = attributes_of(metadata, ())
        terms = set(attributes.terms)
        for key in ("a", "b", "a.b", "a.a", "b.a.b", "b.a", "a.a.b", "none"):
            value = value_at(key, "d", metadata)
            assert (term("exists", key) in terms) == (value is not MISSING)
            for choice in ("a", "ab", "", "true", 0, 1, 2, 1.5, 2**64, True, False, None):
                held, asked = comparable(value), comparable(choice)
                assert asked is not None
                assert (term("equals", key, asked) in terms) == (held is not None and held == asked)
                has = isinstance(value, list) and asked in map(comparable, value)
                assert (term("contains", key, asked) in terms) == has
            ordered = (held := comparable(value)) is not None and held[0] != "word"
            assert attributes.values.get(key) == (held[1] if held and ordered else None)


def test_equal_numbers_are_one_term_and_others_are_not() -> None:
    same = [term("equals", "k", ("number", value)) for value in (1, 1.0)]
    assert same[0] == same[1]
    values = [2**53, 2**53 + 1, 2.0**64, 1.5, -1, 0]
    assert len({term("equals", "k", ("number", value)) for value in values}) == len(values)
    assert term("equals", "k", ("text", "1")) != same[0]


def test_tags_are_terms_that_no_metadata_has() -> None:
    assert term("contains", ACL, ("text", "x")) in attributes_of({}, ["x"]).terms
    assert attributes_of({"acl": ["x"]}, []).terms != attributes_of({}, ["x"]).terms


def test_a_documents_own_id_is_no_key_of_its_metadata() -> None:
    assert attributes_of({DOCUMENT_ID: "x"}, ()).terms == []


def test_a_value_that_does_not_fit_is_told_by_a_term() -> None:
    for value in ("x" * 2_000, 10**400):
        attributes = attributes_of({"k": value, "other": 1}, ())
        assert (attributes.values, attributes.whole) == ({"other": 1}, True)
        assert term("left out", "k") in attributes.terms


def test_of_too_many_values_none_is_kept() -> None:
    for metadata in ({"k": list(range(MOST_TERMS + 1))}, {f"k{n}": "x" * 900 for n in range(70)}):
        attributes = attributes_of(metadata, ())
        assert (attributes.terms, attributes.values, attributes.whole) == ([], {}, False)
    assert attributes_of({"k": list(range(MOST_TERMS - 1))}, ()).whole
