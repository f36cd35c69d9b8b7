"""What a search was asked for, checked and put into the terms of its collection."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from index.codec import check_vector, searchable_row
from index.errors import InvalidQuery
from index.lexical import Terms, read_terms
from index.points import Parts
from index.rows import CollectionSettings, Query, Vector

# How deep the rankings are that are fused.
DEPTH: Final = 100
# To choose so many hits unlike each other takes 0.06 s with 384 numbers each, and 1 s with 4,096.
MOST_DIVERSE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Request:
    """A query that was checked: a vector scaled as the table is, and terms to find."""

    query: Query
    vector: Vector | None
    terms: Terms
    by_words: bool

    @property
    def is_hybrid(self) -> bool:
        return self.vector is not None and self.by_words

    @property
    def is_ranked_alone(self) -> bool:
        """Whether the nearest rows are the answer, and nothing else has a say."""
        query = self.query
        return not self.by_words and query.group_by is None and query.diversity is None

    @property
    def is_plain(self) -> bool:
        """Whether it asks for what is nearest, and for nothing else."""
        query = self.query
        least = query.min_score
        return self.is_ranked_alone and query.filter is None and least is None and not query.exact

    @property
    def parts(self) -> Parts:
        """What has to be read of a hit."""
        query = self.query
        content = query.with_content or query.filter is not None
        return Parts(content, query.with_vectors, query.with_token_vectors)

    @property
    def wanted(self) -> int:
        """How many rows are ranked; twice as many as answered where there has to be a choice."""
        k = self.query.k
        return k if self.query.diversity is None else max(DEPTH, 2 * k)


def checked(query: Query, settings: CollectionSettings) -> Request:
    """``query`` as a collection of these ``settings`` can answer it.

    Raises:
        InvalidQuery, InvalidVector: it cannot.
    """
    if query.k < 1:
        raise InvalidQuery(f"k is {query.k}, it must be at least 1")
    if query.diversity is not None and query.k > MOST_DIVERSE:
        raise InvalidQuery(f"k is {query.k}, with a diversity it is at most {MOST_DIVERSE}")
    for name, share in (("dense weight", query.fusion.dense_weight), ("diversity", query.diversity)):
        if share is not None and not 0 <= share <= 1:
            raise InvalidQuery(f"the {name} is {share}, it must be from 0 to 1")
    if query.min_score is not None and math.isnan(query.min_score):
        raise InvalidQuery("the least score is not a number")
    vector = query.vector if query.mode != "lexical" else None
    text = query.text if query.mode != "dense" else None
    if vector is None and text is None:
        needed = {"dense": "a vector", "lexical": "a text", "hybrid": "a vector or a text"}[query.mode]
        raise InvalidQuery(f"a {query.mode} search needs {needed}")
    if vector is not None:
        row = check_vector(vector, settings.dim, settings.metric, "query")
        vector = searchable_row(row, settings.metric)
    terms = Terms(()) if text is None else read_terms(text, settings.tokenizer)
    return Request(query, vector, terms, text is not None)


def alike(requests: Sequence[Request], most: Callable[[Request], int]) -> Iterator[list[tuple[int, Request]]]:
    """All requests with their places, those together that ask for as many of what is nearest and for nothing
    else: up to ``most`` of such.
    """
    groups: dict[tuple[Any, ...], list[tuple[int, Request]]] = {}
    for place, request in enumerate(requests):
        alone = None if request.is_plain else place
        groups.setdefault((alone, request.wanted, request.parts), []).append((place, request))
    for group in groups.values():
        size = most(group[0][1])
        yield from (group[start : start + size] for start in range(0, len(group), size))
