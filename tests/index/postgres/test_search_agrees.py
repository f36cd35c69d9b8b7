"""Whole searches: PostgreSQL answers what the embedded store answers, hit by hit and part by part."""

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from random_filters import random_filter, random_metadata
from store_samples import document_of, point_of, settings_of, vector_of

from index.catalog import open_catalog
from index.filters import parse_filter, visible_to
from index.postgres.catalog import PostgresCatalog
from index.rows import Document, Fusion, Hit, Metric, Query


def random_documents(dice: random.Random) -> list[Document]:
    def fields() -> dict[str, Any]:
        acl = tuple(dice.sample(["red", "blue"], dice.randint(0, 1)))
        return {"title": f"title{dice.randint(0, 9)}", "metadata": random_metadata(dice), "acl": acl}

    documents = [
        document_of(f"d{n}", *range(3 * n, 3 * n + dice.randint(1, 3)), **fields()) for n in range(60)
    ]
    return [
        *documents,
        *(point_of(f"p{n}", 1_000 + n, text=f"word{n} word{n % 7}", **fields()) for n in range(40)),
    ]


def random_query(dice: random.Random) -> Query:
    words = " ".join(
        f"{dice.choice(['word', 'title'])}{dice.randint(0, 20)}" for _ in range(dice.randint(1, 4))
    )
    text, vector = dice.choice(
        [(words, None), (words, vector_of(dice.randint(0, 999))), (None, vector_of(7))]
    )
    condition = dice.choice([None, parse_filter(random_filter(dice)), visible_to(["red"])])
    return Query(
        k=dice.choice([1, 7, 200]),
        vector=vector,
        text=text,
        filter=condition,
        exact=True,
        min_score=dice.choice([None, None, 0.2]),
        with_content=dice.random() < 0.8,
        with_vectors=dice.random() < 0.3,
        with_token_vectors=dice.random() < 0.3,
        fusion=Fusion(dice.choice(["relative", "rrf"]), dice.choice([0.0, 0.3, 0.5, 1.0])),
        group_by=dice.choice([None, "document"]),
        diversity=dice.choice([None, None, 0.4]) if vector is not None else None,
    )


def plain(hit: Hit, query: Query) -> tuple[Any, ...]:
    content = (hit.text, hit.metadata) if query.with_content else ()
    vector = None if hit.vector is None else hit.vector.tobytes()
    place = (hit.start, hit.end, hit.page, hit.heading)
    return hit.id, hit.document_id, hit.title, *place, vector, hit.token_vectors, *content


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
async def test_every_search_is_answered_as_in_the_embedded_store(
    catalog: PostgresCatalog, tmp_path: Path, metric: Metric
) -> None:
    dice = random.Random(2)
    documents = random_documents(dice)
    async with open_catalog(tmp_path / "data") as embedded_catalog:
        embedded, _ = await embedded_catalog.create(settings_of(metric=metric))
        store, _ = await catalog.create(settings_of(metric=metric))
        for each in (embedded, store):
            await each.upsert(documents)
        queries = [random_query(dice) for _ in range(2 * settings().max_examples)]
        found, expected = await store.search_many(queries), await embedded.search_many(queries)
        for query, one, other in zip(queries, found, expected, strict=True):
            assert one.plan == other.plan
            assert [plain(hit, query) for hit in one.hits] == [plain(hit, query) for hit in other.hits], query
            for mine, theirs in zip(one.hits, other.hits, strict=True):
                assert mine.scores.get("dense") == theirs.scores.get("dense")
                assert mine.scores == pytest.approx(theirs.scores, rel=1e-5)
                assert mine.score == pytest.approx(theirs.score, rel=1e-5, abs=1e-6)
