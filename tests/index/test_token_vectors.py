"""Token vectors kept with passages, and how rare the words of a collection are."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from index import collection as collections
from index import migrations, vectors
from index.catalog import Catalog, open_catalog
from index.collection import Collection
from index.errors import CollectionExists, InvalidId, InvalidSettings
from index.rows import CollectionSettings, Document, Passage, Query

Make = Callable[..., Document]
SETTINGS = CollectionSettings("notes", 8, token_vectors="2bit", quantization="none")


def with_tokens(document: Document, *packed: bytes | None) -> Document:
    """The document whose passages have these token vectors."""
    pairs = zip(document.passages, packed, strict=True)
    return replace(document, passages=tuple(replace(passage, token_vectors=p) for passage, p in pairs))


async def kept(collection: Collection) -> dict[str, bytes | None]:
    """The token vectors of every passage."""
    found = await collection.search(Query(100, vector=np.ones(8, dtype=np.float32), with_token_vectors=True))
    return {hit.id: hit.token_vectors for hit in found.hits}


async def rows(collection: Collection) -> int:
    """How many rows the table of token vectors has."""
    return int((await collection._readers.rows("SELECT count(*) FROM token_vectors"))[0][0])


async def test_they_come_back_with_the_hits_that_have_them(
    collection: Collection, make_document: Make
) -> None:
    await collection.upsert([with_tokens(make_document("a", 1, 2, 3), b"first", None, b"")])
    assert await kept(collection) == {"a#0": b"first", "a#1": None, "a#2": b""}


async def test_they_come_only_if_asked_for(collection: Collection, make_document: Make) -> None:
    await collection.upsert([with_tokens(make_document("a", 1), b"first")])
    found = await collection.search(Query(1, text="word1"))
    assert [hit.token_vectors for hit in found.hits] == [None]


async def test_they_are_replaced_and_deleted_with_their_passages(
    collection: Collection, make_document: Make
) -> None:
    documents = [with_tokens(make_document("a", 1, 2), b"1", b"2"), with_tokens(make_document("b", 3), b"3")]
    await collection.upsert(documents)
    await collection.upsert([with_tokens(make_document("a", 4), b"4")])
    assert await kept(collection) == {"a#0": b"4", "b#0": b"3"}
    assert await rows(collection) == 2
    await collection.delete(["a", "b"])
    assert await rows(collection) == 0


async def test_a_write_that_is_refused_leaves_none(collection: Collection, make_document: Make) -> None:
    await collection.upsert([make_document("a", 1)])
    taken = with_tokens(make_document("a#0", 2, is_point=True), b"2")
    with pytest.raises(InvalidId):
        await collection.upsert([with_tokens(make_document("b", 3), b"3"), taken])
    assert await rows(collection) == 0


async def test_they_are_there_after_a_restart(tmp_path: Path, make_document: Make) -> None:
    async with open_catalog(tmp_path) as catalog:
        made, _ = await catalog.create(SETTINGS)
        await made.upsert([with_tokens(make_document("a", 1), b"first")])
    async with open_catalog(tmp_path) as catalog:
        assert (await catalog.get("notes")).settings == SETTINGS
        assert await kept(await catalog.get("notes")) == {"a#0": b"first"}


async def test_keeping_them_is_a_setting_like_the_others(catalog: Catalog) -> None:
    await catalog.create(SETTINGS)
    with pytest.raises(CollectionExists) as caught:
        await catalog.create(replace(SETTINGS, token_vectors=None))
    assert caught.value.differences == {"token_vectors": ("2bit", None)}
    with pytest.raises(InvalidSettings, match="float64"):
        await catalog.create(replace(SETTINGS, name="other", token_vectors="float64"))


async def test_a_folder_from_before_them_keeps_none_until_it_is_asked_to(
    tmp_path: Path, make_document: Make
) -> None:
    folder = tmp_path / "collections" / "old"
    folder.mkdir(parents=True)
    with closing(sqlite3.connect(folder / "truth.db", isolation_level=None)) as connection:
        migrations.migrate(connection, migrations.MIGRATIONS[:1])
        connection.execute("INSERT INTO settings VALUES (1, 8, 'cosine', NULL, NULL, NULL, 'old', 'then')")
        connection.execute(
            "INSERT INTO documents"
            " VALUES (1, 'a', 't', '{}', 1, x'', 1, 1, 1, 'text/plain', 1, NULL, '[]', '', '')"
        )
        connection.execute(
            "INSERT INTO passages VALUES (1, 1, 'a', 0, 1, NULL, '', 1, 'a', ?)",
            (np.ones(8, dtype="<f4").tobytes(),),
        )
    async with open_catalog(tmp_path) as catalog:
        old = await catalog.get("old")
        assert old.settings == CollectionSettings("old", 8, description="old", quantization="none")
        await old.upsert([with_tokens(make_document("b", 1), b"new")])
        assert await kept(old) == {"a": None, "b#0": b"new"}


async def test_large_token_vectors_count_in_the_queue_of_writes(
    collection: Collection, make_document: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights: list[int] = []
    submit = collection._writer.submit

    async def note(write: object, rows: int = 1) -> object:
        weights.append(rows)
        return await submit(write, rows)

    monkeypatch.setattr(collection._writer, "submit", note)
    await collection.upsert([with_tokens(make_document("a", 1), bytes(40_960))])
    assert weights == [10]


async def test_rare_words_tell_more_than_common_ones(collection: Collection, make_document: Make) -> None:
    await collection.upsert([make_document(f"d{n}", 7, *range(100, 100 + n)) for n in range(5)])
    idf = await collection.idf(["word7", "word100", "word103", "nowhere"])
    assert 0 < idf["word7"] < idf["word100"] < idf["word103"] < idf["nowhere"]


async def test_words_are_found_in_every_form_and_in_titles(
    collection: Collection, make_document: Make
) -> None:
    await collection.upsert(
        [
            Document("a", "Ports", "", {}, (Passage("He listens.", 0, 11, np.ones(8, dtype=np.float32)),)),
            make_document("b", 1),
        ]
    )
    idf = await collection.idf(["listening", "port", "nowhere"])
    assert idf["listening"] == idf["port"] < idf["nowhere"]


async def test_no_word_is_a_syntax_error_and_only_so_many_are_looked_up(
    collection: Collection, make_document: Make
) -> None:
    await collection.upsert([make_document("a", 1)])
    odd = ['"', "a OR b", "NEAR(", "", "x" * 5000, "straße", "日本", "٣", "and"]
    idf = await collection.idf(odd)
    assert set(idf) == {"x" * 5000, "straße", "日本", "٣", "and"}
    assert len(await collection.idf([f"w{n}" for n in range(100)] * 2)) == 32
    assert await collection.idf([]) == {}


async def test_an_empty_collection_knows_no_word(collection: Collection) -> None:
    assert (await collection.idf(["word"]))["word"] > 0


async def test_only_the_newest_points_are_counted(
    collection: Collection, make_document: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "BLOCK_ROWS", 4)
    monkeypatch.setattr(collections, "_COUNTED_POINTS", 4)
    await collection.upsert([make_document(f"old{n}", 1) for n in range(8)])
    await collection.upsert([make_document(f"new{n}", 2) for n in range(4)])
    idf = await collection.idf(["word1", "word2"])
    assert idf["word2"] < idf["word1"] == (await collection.idf(["nowhere"]))["nowhere"]


async def test_words_are_counted_while_others_write(collection: Collection, make_document: Make) -> None:
    writes = [collection.upsert([make_document(f"d{n}", 1)]) for n in range(20)]
    counted = [collection.idf(["word1"]) for _ in range(20)]
    found = await asyncio.gather(*counted, *writes)
    assert all(idf["word1"] > 0 for idf in found[:20])
