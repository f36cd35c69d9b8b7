"""Facets and counts of PostgreSQL against those of the embedded store."""

import random
from pathlib import Path

from hypothesis import settings
from random_filters import random_filter, random_metadata
from store_samples import document_of, settings_of

from index.catalog import open_catalog
from index.filters import DOCUMENT_ID, parse_filter
from index.postgres.catalog import PostgresCatalog
from index.rows import Facets, FacetValue


def typed(facets: Facets) -> tuple[list[tuple[type, FacetValue]], int]:
    return [(type(one.value), one) for one in facets.values], facets.total


async def test_values_are_counted_and_ordered_as_in_the_embedded_store(
    catalog: PostgresCatalog, tmp_path: Path
) -> None:
    dice = random.Random(9)
    documents = [
        document_of(f"d{n}", *range(dice.randint(0, 3)), metadata=random_metadata(dice)) for n in range(80)
    ]
    odd = [
        1e300,
        2**64,
        0.1,
        -7,
        "ключ",
        "\U0001f600",
        "true",
        [True, None, [1], {"x": 1}, "x", "x"],
        {"y": 1},
    ]
    documents += [document_of(f"odd{n}", n, metadata={"odd": value}) for n, value in enumerate(odd)]
    async with open_catalog(tmp_path / "data") as embedded_catalog:
        embedded, _ = await embedded_catalog.create(settings_of())
        store, _ = await catalog.create(settings_of())
        for each in (embedded, store):
            await each.upsert(documents)
        for key in ("odd", "nothing", "", "\0", DOCUMENT_ID):
            assert typed(await store.facets(key, 99)) == typed(await embedded.facets(key, 99)), key
        for _ in range(settings().max_examples):
            condition = parse_filter(random_filter(dice))
            assert await store.count(condition) == await embedded.count(condition)
            key, limit = dice.choice(["a", "b", "a.b", "b.a.b", DOCUMENT_ID]), dice.choice([1, 3, 99])
            found, expected = [await each.facets(key, limit, condition) for each in (store, embedded)]
            # 1 and 1.0 are one value, and either of them stands for it.
            assert found == expected, (key, condition)
