"""A user's words as an FTS5 query, and what each tokenizer finds."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.catalog import Catalog
from index.collection import Collection
from index.lexical import MAX_TERMS, MAX_TRIGRAMS, plain_words, read_terms
from index.rows import CollectionSettings, Document, Passage, Query, Tokenizer

Make = Callable[..., Document]
TOKENIZERS: tuple[Tokenizer, ...] = ("porter", "unicode61", "trigram")


@pytest.fixture
def store_texts(catalog: Catalog, make_vector: Callable) -> Callable:
    """Makes a collection of that tokenizer; each text becomes a document whose id is the text."""

    async def store(tokenizer: Tokenizer, *texts: str) -> Collection:
        made, _ = await catalog.create(CollectionSettings(tokenizer, 8, tokenizer=tokenizer))
        passages = [Passage(text, 0, len(text), make_vector(1)) for text in texts]
        await made.upsert(
            [Document(text, "", text, {}, (each,)) for text, each in zip(texts, passages, strict=True)]
        )
        return made

    return store


async def find(collection: Collection, text: str) -> list[str]:
    """The documents found by words alone, best first."""
    return [hit.document_id for hit in (await collection.search(Query(20, text=text, mode="lexical"))).hits]


@given(st.text() | st.text('"*“”ab机^:(){}-+.\0\ud800'), st.sampled_from(TOKENIZERS))
def test_nothing_that_a_user_types_is_a_syntax_error(text: str, tokenizer: Tokenizer) -> None:
    connection = sqlite3.connect(":memory:")
    cut = "porter unicode61" if tokenizer == "porter" else tokenizer
    connection.execute(f"CREATE VIRTUAL TABLE words USING fts5(title, tokenize='{cut}')")
    terms = read_terms(text, tokenizer)
    for phrase in terms.phrases({piece: [f'{piece}"'] for piece in terms.short}):
        connection.execute("SELECT * FROM words WHERE words MATCH ?", (phrase,)).fetchall()
    connection.close()


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("What is the Normans' capital?", ['"normans"', '"capital"']),
        ("who are they", ['"who"', '"are"', '"they"']),
        ("fish FISH Fish", ['"fish"']),
        ('say "NEAR(" AND *', ['"say"', '"near"']),
        ("C++ & e-mail", ['"c"', '"e"', '"mail"']),
        ('the "Bank of England" rate', ['"bank of england"', '"rate"']),
        ("“Bank rate” of «la banque»", ['"bank rate"', '"la banque"']),
        ('5" pipe', ['"5"', '"pipe"']),
        ("micro* a*", ['"micro" *', '"a"']),
        ("the*", ['"the" *']),
        ("हिन्दी भाषा।", ['"हिन्दी"', '"भाषा"']),
        ('"" *', []),
        ("?!", []),
        ("", []),
    ],
)
def test_telling_words_are_kept_once_and_quoted(text: str, phrases: list[str]) -> None:
    assert list(read_terms(text).phrases()) == phrases


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_terms_are_capped(tokenizer: Tokenizer) -> None:
    most = MAX_TRIGRAMS if tokenizer == "trigram" else MAX_TERMS
    text = " ".join(f"{n}w{n}" for n in range(500))
    assert len(read_terms(text, tokenizer).strings) == most
    assert len(read_terms(f'"{text}"').strings[0].split()) == MAX_TERMS
    assert len(read_terms(" ".join(f"{n}" for n in range(99)), "trigram").short) == MAX_TERMS


async def test_words_in_quotes_are_found_where_they_stand_together(store_texts: Callable) -> None:
    collection = await store_texts("porter", "the bank rate rose", "the rate of a bank", "rates")
    assert await find(collection, '"bank rates"') == ["the bank rate rose"]


async def test_the_beginning_of_a_word_finds_the_word(store_texts: Callable) -> None:
    collection = await store_texts("porter", "microscopes", "telescopes", "microphones")
    assert sorted(await find(collection, "micro*")) == ["microphones", "microscopes"]
    assert await find(collection, "micro") == []


async def test_only_porter_takes_the_forms_of_an_english_word_for_one(store_texts: Callable) -> None:
    stemmed = await store_texts("porter", "connected")
    plain = await store_texts("unicode61", "connected", "Tiếng Việt")
    assert await find(stemmed, "connection") == ["connected"]
    assert await find(plain, "connection") == []
    assert await find(plain, "TIENG") == ["Tiếng Việt"]


async def test_trigrams_find_parts_of_words_and_words_without_spaces(store_texts: Callable) -> None:
    collection = await store_texts("trigram", "Haftpflichtversicherung", "机器学习的应用", "ERR-4711/b")
    assert await find(collection, "versicherungen") == ["Haftpflichtversicherung"]
    assert await find(collection, "什么是机器学习?") == ["机器学习的应用"]
    assert await find(collection, '"r-471"') == ["ERR-4711/b"]
    assert await find(collection, '"r-472"') == []


@pytest.mark.parametrize("text", ["应用", "Go", "C"])
async def test_pieces_too_short_for_a_trigram_are_found_wherever_they_stand(
    store_texts: Callable, text: str
) -> None:
    texts = [f"{text} begins", f"in {text} between", f"ends with {text}", "nothing"]
    collection = await store_texts("trigram", *texts)
    assert set(await find(collection, text)) == set(texts[:3])


async def test_a_deleted_text_leaves_every_index(store_texts: Callable) -> None:
    for tokenizer in TOKENIZERS:
        collection = await store_texts(tokenizer, "zebra zoo", "other")
        await collection.delete(["zebra zoo"])
        assert await find(collection, "zebra zo") == []


async def test_how_rare_a_word_is_counts_only_what_the_tokenizer_can_look_up(store_texts: Callable) -> None:
    collection = await store_texts("trigram", "go west", "west")
    assert list(await collection.idf(["go", "west", "w-t"])) == ["west"]
    assert plain_words(["go", "west"]) == ["go", "west"]


@pytest.mark.parametrize("letter", ["क", "ก", "க", "ᠠ", "a"])
def test_many_letters_that_signs_could_be_are_read_in_one_way(letter: str) -> None:
    """In exponentially many, this would not end."""
    assert plain_words([letter * 200, letter * 200 + "!"]) == [letter * 200]


def test_a_sign_belongs_to_the_letter_before_it() -> None:
    words = ["हिन्दी", "cafe\u0301s", "ภาษาไทย", "_", "\u0301"]
    assert plain_words(words) == words[:3]


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
async def test_the_index_says_what_the_texts_say(
    store_texts: Callable, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    await store_texts(tokenizer, "zebra zoo", "东京都")
    file = tmp_path / "collections" / tokenizer / "truth.db"
    with closing(sqlite3.connect(f"file:{file}?mode=rw", uri=True)) as connection:
        connection.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
