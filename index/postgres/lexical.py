"""Words in PostgreSQL: what has any of a query's terms is found by the GIN index and ranked by BM25.

As in FTS5: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, with a
term in the title counted twice. How often a passage has a term, a phrase or the beginning of a word is what
``ts_rank_cd`` says of that term alone: the sum of the weights of the places where it is.
"""

# ruff: noqa: S608 - statements are put together from names of tables; values are bound.

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from index.bm25 import K1, B, idf
from index.lexical import WORD_WEIGHTS, Terms, unquoted
from index.postgres.database import Record
from index.postgres.parameters import Parameters
from index.postgres.scope import Scope
from index.postgres.snapshot import Snapshot
from index.postgres.tables import Tables
from index.postgres.words import shortened
from index.rows import Tokenizer
from index.word_cutter import Cutter, Token

# To score so many passages takes a tenth of a second. Where more have any of the terms, those are ranked that
# have the rarest of them.
_SCORED: Final = 10_000
# Of a phrase that is longer, so many words are looked for.
_MAX_PHRASE: Final = 64
# What PostgreSQL calls weights ends at 1; they are for D, C, B and A.
_SCALE: Final = max(WORD_WEIGHTS)
_WEIGHTS: Final = "'{{{1}, {1}, {1}, {0}}}'::real[]".format(*(weight / _SCALE for weight in WORD_WEIGHTS))


@dataclass(frozen=True, slots=True)
class _Term:
    """A tsquery, and how many passages match it."""

    query: str
    passages: int


def encode_terms(asked: Sequence[Terms], tokenizer: Tokenizer) -> list[list[str]]:
    """The terms of each query as tsqueries, those left out that no text can have."""
    plain = [("", unquoted(string)) for terms in asked for string in terms.strings]
    with closing(Cutter(tokenizer)) as cutter:
        cut = iter(cutter.cut(plain))
    return [_queries(terms, [next(cut) for _ in terms.strings]) for terms in asked]


def _queries(terms: Terms, cut: Sequence[Sequence[Token]]) -> list[str]:
    phrases = [
        _phrase(tokens, is_beginning=string.endswith("*"))
        for string, tokens in zip(terms.strings, cut, strict=True)
        if tokens
    ]
    beginnings = [f"{_quoted(piece)}:*" for piece in terms.short]
    return list(dict.fromkeys([*phrases, *beginnings]))


async def matching(snapshot: Snapshot, scope: Scope, queries: Sequence[str], limit: int) -> list[Record]:
    """(seq, document, BM25 > 0) of the ``limit`` passages in the scope that match any of the queries best;
    ties in order of seq.
    """
    counts = await _counts(snapshot, scope.tables, queries)
    terms = sorted((_Term(*count) for count in counts.items() if count[1]), key=lambda term: term.passages)
    chosen = _rarest(terms)
    found = await _ranked(snapshot, scope, chosen, terms, limit)
    if len(found) < limit and len(chosen) < len(terms):
        return await _ranked(snapshot, scope, terms, terms, limit)
    return found


async def passages_with(
    snapshot: Snapshot, tables: Tables, queries: Sequence[str], newest: int
) -> tuple[int, dict[str, int]]:
    """How many passages there are, up to the ``newest``, and how many of them match each query."""
    row = await snapshot.connection.fetchrow(
        "SELECT count(*), coalesce(min(seq), 1) FROM"
        f" (SELECT seq FROM {tables.passages} ORDER BY seq DESC LIMIT $1) AS newest",
        newest,
    )
    assert row is not None
    return row[0], await _counts(snapshot, tables, queries, row[1])


async def _counts(
    snapshot: Snapshot, tables: Tables, queries: Sequence[str], first: int = 1
) -> dict[str, int]:
    """How many passages match each query, from the seq ``first`` on."""
    newer = "AND p.seq >= $2" if first > 1 else ""
    sql = (
        f"SELECT term, (SELECT count(*) FROM {tables.passages} AS p WHERE p.words @@ term::tsquery {newer})"
        " FROM unnest($1::text[]) AS term"
    )
    values = (queries, first) if first > 1 else (queries,)
    return {row[0]: row[1] for row in await snapshot.connection.fetch(sql, *values)}


def _rarest(terms: Sequence[_Term]) -> Sequence[_Term]:
    """At least one, and as many as not too many passages have; ``terms`` are ordered."""
    total = 0
    for place, term in enumerate(terms):
        total += term.passages
        if total > _SCORED:
            return terms[: max(place, 1)]
    return terms


async def _ranked(
    snapshot: Snapshot, scope: Scope, asked: Sequence[_Term], terms: Sequence[_Term], limit: int
) -> list[Record]:
    """What matches any of those ``asked``, by the BM25 of all ``terms``."""
    if not asked:
        return []
    sizes, parameters = snapshot.sizes, Parameters()
    mean, most = parameters.add(max(sizes.mean_words, 1.0)), parameters.add(limit)
    any_of = parameters.add(" | ".join(term.query for term in asked))
    rows = scope.rows(parameters)
    times = ", ".join(
        f"{_SCALE} * ts_rank_cd({_WEIGHTS}, p.words, {parameters.add(term.query)}::text::tsquery) AS times{n}"
        for n, term in enumerate(terms)
    )
    weights = [parameters.add(idf(sizes.points, term.passages)) for term in terms]
    score = " + ".join(
        f"{weight}::float8 * {K1 + 1} * times{n} / (times{n} + length)" for n, weight in enumerate(weights)
    )
    # The offset keeps PostgreSQL from counting a term twice for its two places in the score.
    return await snapshot.connection.fetch(
        f"SELECT seq, document, {score} AS score FROM (SELECT p.seq, p.document, {times},"
        f" {K1} * ({1 - B} + {B} * p.words_count / {mean}::float8) AS length"
        f" FROM {rows} AND p.words @@ {any_of}::text::tsquery OFFSET 0) AS found"
        f" ORDER BY score DESC, seq LIMIT {most}",
        *parameters.values,
    )


def _phrase(tokens: Iterable[Token], *, is_beginning: bool) -> str:
    in_order = sorted(tokens, key=itemgetter(3))[:_MAX_PHRASE]
    words = " <-> ".join(_quoted(shortened(word).decode()) for _, word, _, _ in in_order)
    return f"({words}:*)" if is_beginning else f"({words})"


def _quoted(word: str) -> str:
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"
