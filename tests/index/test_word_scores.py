"""Words that are scored once give the hits and scores that FTS5 gives, whatever is written meanwhile."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from index import full_text, word_scores
from index.collection import Collection
from index.filters import parse_filter
from index.readers import Readers
from index.rows import Document, DocumentPatch, Hit, Passage, Query

Make = Callable[..., Document]

ASKED = ("word1", "word1 word2", "word2 word3 word1", '"word1 word2"', "wor*", "word9 word1", "nothing")


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_scores, "LEAST_ROWS", 0)


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the index is asked: for a word, or, with "since", for what came lately."""
    seen: list[str] = []
    places, scored = full_text.places, full_text.scored

    async def watched_places(readers: Readers, token: str) -> object:
        seen.append(token)
        return await places(readers, token)

    async def watched_scored(readers: Readers, phrases: Sequence[str], weights: Any, behind: int) -> object:
        seen.append(f"{' '.join(phrases)} since" if behind else " ".join(phrases))
        return await scored(readers, phrases, weights, behind)

    monkeypatch.setattr(full_text, "places", watched_places)
    monkeypatch.setattr(full_text, "scored", watched_scored)
    return seen


async def find(collection: Collection, text: str, condition: object = None, k: int = 7) -> tuple[Hit, ...]:
    tree = None if condition is None else parse_filter(condition)
    return (await collection.search(Query(k, text=text, mode="lexical", filter=tree))).hits


async def check_against_fts5(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ASKED:
        for condition in (None, {"odd": True}, {"n": {"$gte": 25}}):
            ours = await find(collection, text, condition)
            with monkeypatch.context() as patch:
                patch.setattr(word_scores, "LEAST_ROWS", 10**9)
                theirs = await find(collection, text, condition)
            assert [hit.id for hit in ours] == [hit.id for hit in theirs], (text, condition)
            assert [hit.score for hit in ours] == pytest.approx([hit.score for hit in theirs])


async def test_scores_are_those_of_fts5_while_rows_come_change_and_go(
    collection: Collection, make_document: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Rescored at every write: how much a word tells has changed.
    monkeypatch.setattr(word_scores, "_FEW_WRITES", 0)
    documents = [
        make_document(f"d{n}", *(1 + n % 3 for _ in range(1 + n % 5)), metadata={"n": n, "odd": n % 2 == 1})
        for n in range(30)
    ]
    await collection.upsert(documents)
    await check_against_fts5(collection, monkeypatch)
    await collection.upsert([make_document("late", 1, 2, metadata={"n": 99, "odd": True})])
    await check_against_fts5(collection, monkeypatch)
    await collection.delete(["d3", "d4", "late"])
    await check_against_fts5(collection, monkeypatch)
    await collection.patch("d6", DocumentPatch(title="word1 word2"))
    await check_against_fts5(collection, monkeypatch)
    await collection.upsert([make_document("d7", 9, metadata={"n": 7, "odd": True})])
    await check_against_fts5(collection, monkeypatch)


async def test_a_word_is_scored_once_and_what_came_since_is_asked_for(
    collection: Collection, make_document: Make, readings: list[str]
) -> None:
    await collection.upsert([make_document(f"d{n}", 1, 2) for n in range(5)])
    await find(collection, "word1 word2")
    assert sorted(readings) == ["word1", "word2"]
    readings.clear()
    await find(collection, "word2 word1")
    assert readings == []
    await collection.upsert([make_document("new", 1)])
    assert "new#0" in {hit.id for hit in await find(collection, "word1", k=20)}
    assert readings == ['"word1" since']


async def test_what_was_removed_is_not_found_and_those_behind_it_are(
    collection: Collection, make_document: Make, readings: list[str]
) -> None:
    await collection.upsert([make_document(f"d{n:02}", 1) for n in range(40)])
    best = [hit.document_id for hit in await find(collection, "word1", k=3)]
    assert best == ["d00", "d01", "d02"]
    readings.clear()
    await collection.delete([f"d{n:02}" for n in range(30)])
    assert [hit.document_id for hit in await find(collection, "word1", k=3)] == ["d30", "d31", "d32"]
    assert readings == []


async def test_a_new_title_is_found_by_its_words_at_once(collection: Collection, make_document: Make) -> None:
    await collection.upsert([make_document("a", 1), make_document("b", 2)])
    assert await find(collection, "castle") == ()
    await collection.patch("b", DocumentPatch(title="The castle"))
    assert [hit.document_id for hit in await find(collection, "castle")] == ["b"]
    await collection.patch("b", DocumentPatch(title="The mill"))
    assert await find(collection, "castle") == ()


async def test_a_title_that_changes_while_a_word_is_scored_is_not_kept_as_it_was(
    collection: Collection, make_document: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    await collection.upsert([make_document("a", 1), make_document("b", 2)])
    places = full_text.places

    async def slow(readers: Readers, token: str) -> object:
        found = await places(readers, token)
        await collection.patch("b", DocumentPatch(title="The castle"))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(full_text, "places", slow)
        await find(collection, "castle")
    assert [hit.document_id for hit in await find(collection, "castle")] == ["b"]


async def test_phrases_beginnings_and_words_of_several_parts_are_left_to_fts5(
    collection: Collection, make_document: Make, readings: list[str]
) -> None:
    await collection.upsert([make_document("a", 1, 2)])
    await find(collection, '"word1 word2" word1* can\'t')
    assert sorted(readings) == ['"word1 word2"', '"word1" *']


@pytest.mark.parametrize("tokens", [1, 127, 128, 20_000])
async def test_rows_of_any_length_are_scored_as_fts5_scores_them(
    collection: Collection, make_vector: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tokens: int
) -> None:
    monkeypatch.setattr(full_text, "_READ_AT_ONCE", 16)  # in pieces, by a thread
    texts = ["word1 " * tokens, *("word1 word2 " * n for n in range(1, 9)), *("other" for _ in range(30))]
    passages = [Passage(text, 0, len(text), make_vector(1)) for text in texts]
    await collection.upsert(
        [Document(f"d{n}", "A word1", one.text, {}, (one,)) for n, one in enumerate(passages)]
    )
    await check_against_fts5(collection, monkeypatch)


async def test_words_are_scored_anew_once_much_was_written(
    collection: Collection,
    make_document: Make,
    readings: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(word_scores, "_FEW_WRITES", 3)
    await collection.upsert([make_document(f"d{n}", 1) for n in range(10)])
    await find(collection, "word1")
    await collection.upsert([make_document(f"new{n}", 1) for n in range(3)])
    await find(collection, "word1")
    await collection.delete(["d1"])
    await find(collection, "word1")
    await find(collection, "word1")
    assert readings == ["word1", '"word1" since', "word1"]


async def test_words_that_nobody_asked_for_lately_make_room(
    collection: Collection,
    make_document: Make,
    readings: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await collection.upsert([make_document(f"d{n}", 1, 2, 3) for n in range(10)])
    await find(collection, "word1")
    first = (await collection.statistics()).memory_bytes
    await find(collection, "word2")
    both = (await collection.statistics()).memory_bytes
    assert both > first
    monkeypatch.setattr(word_scores, "MAX_BYTES", 2 * (both - first))
    for text in ("word1", "word3", "word1", "word2"):
        await find(collection, text)
    assert readings == ["word1", "word2", "word3", "word2"]
    assert (await collection.statistics()).memory_bytes == both
