"""Words in PostgreSQL against those of the embedded store: the same are found, and rank by the same BM25."""

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_samples import settings_of, vector_of

from index.catalog import open_catalog
from index.filters import parse_filter
from index.lexical import read_terms
from index.postgres import lexical
from index.postgres.catalog import PostgresCatalog
from index.postgres.database import Database
from index.postgres.lexical import encode_terms
from index.postgres.words import encode_words
from index.rows import Document, DocumentPatch, Passage, Query, Tokenizer
from index.store import Store

TOKENIZERS: tuple[Tokenizer, ...] = ("porter", "unicode61", "trigram")
SAID = """tide tides tidal bank banking the of river rivers über uber Tiếng Việt 潮汐 潮汐表 go it's error
    ERR-4711/b naïve co-operate running run"""
ASKED = (
    *("tide", "tides and rivers", '"bank of river"', "riv* uber", "潮汐表", "go", "4711", '"err 4711"'),
    *("the of", "TIENG viet run*", "x", '"the the"', "naive co-operate running bank tide river"),
)
ODD = "\"*“”ab机^:&|!()<->'\\ {}.+\0\ud800"


def document_of(name: str, title: str, heading: str, text: str | None) -> Document:
    passage = Passage(text, 0, len(text or ""), vector_of(1), heading=heading)
    return Document(name, title, text, {"n": len(text or "") % 3}, (passage,))


def documents_of(dice: random.Random, count: int) -> list[Document]:
    def said(most: int) -> str:
        return " ".join(dice.choices(SAID.split(), k=dice.randint(0, most)))

    return [document_of(f"d{n}", said(3), said(2), None if n % 10 == 9 else said(40)) for n in range(count)]


async def ranked(store: Store, query: Query) -> dict[str, float]:
    return {hit.id: hit.score for hit in (await store.search(query)).hits}


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
async def test_words_rank_as_in_the_embedded_store(
    catalog: PostgresCatalog, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    documents = documents_of(random.Random(3), 120)
    async with open_catalog(tmp_path / "data") as embedded_catalog:
        embedded, _ = await embedded_catalog.create(settings_of(tokenizer=tokenizer))
        store, _ = await catalog.create(settings_of(tokenizer=tokenizer))
        for each in (embedded, store):
            await each.upsert(documents[:80])
            await each.upsert([*documents[60:], document_of("d1", "bank", "", "tide")])
            await each.delete(["d2", "d70"])
        for text in ASKED:
            for condition in (None, parse_filter({"n": {"$ne": 1}})):
                query = Query(200, text=text, mode="lexical", filter=condition)
                expected, found = await ranked(embedded, query), await ranked(store, query)
                if tokenizer == "trigram" and read_terms(text, tokenizer).short:
                    # There each trigram that begins with a short piece is a term of its own.
                    assert found.keys() == expected.keys(), text
                else:
                    assert found == pytest.approx(expected, rel=1e-5), text
            assert await store.idf(text.split()) == pytest.approx(await embedded.idf(text.split())), text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(max_size=40) | st.text(ODD, max_size=40), st.sampled_from(TOKENIZERS))
async def test_nothing_that_a_user_types_is_a_syntax_error(
    database: Database, text: str, tokenizer: Tokenizer
) -> None:
    for query in encode_terms([read_terms(text, tokenizer)], tokenizer)[0]:
        assert await database.value("SELECT $1::text::tsquery::text", query)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(TOKENIZERS))
async def test_any_text_has_words_that_postgres_takes(
    database: Database, text: str, tokenizer: Tokenizer
) -> None:
    [words] = encode_words(tokenizer, [(text, "", text)])
    assert await database.value("SELECT length($1::tsvector)", words.vector) <= words.total


async def test_what_is_longer_than_postgres_takes_is_found_by_what_it_begins_with(
    catalog: PostgresCatalog,
) -> None:
    store, _ = await catalog.create(settings_of())
    text = " ".join(["begins", "z" * 5_000, *(f"word{n:06d}" for n in range(90_000)), *["same"] * 300])
    await store.upsert([document_of("long", "titled", "", text)])
    for asked in ("begins", "titled", "z" * 5_000, "word000001"):
        assert list(await ranked(store, Query(1, text=asked))) == ["long#0"], asked[:20]


async def test_where_too_much_has_a_word_what_has_the_rarest_ones_comes_first(
    catalog: PostgresCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lexical, "_SCORED", 10)
    store, _ = await catalog.create(settings_of())
    texts = ["common", *["common words"] * 30, "common rare", "rare"]
    await store.upsert([document_of(f"d{n}", "", "", text) for n, text in enumerate(texts)])
    assert set(await ranked(store, Query(2, text="common rare"))) == {"d31#0", "d32#0"}
    assert len(await ranked(store, Query(20, text="common rare"))) == 20
    assert len(await ranked(store, Query(50, text="common"))) == 32


async def test_a_new_title_finds_all_passages_of_its_document(catalog: PostgresCatalog) -> None:
    store, _ = await catalog.create(settings_of())
    await store.upsert([document_of("a", "old", "", "text")])
    await store.patch("a", DocumentPatch(title="new"))
    assert list(await ranked(store, Query(1, text="new"))) == ["a#0"]
    assert await ranked(store, Query(1, text="old")) == {}
