"""The extractive answers: which sentences are quoted, in which order, and when none is."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from embedd.extractive import Quote, extract
from embedd.fake import FakeTokenizer, fake_vectors

FORTH = "The Forth Bridge crosses the Firth of Forth. It opened in 1890. Benjamin Baker designed the bridge."
TEA = "Green tea is brewed at eighty degrees. Black tea takes boiling water."


async def embed(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """The shipped fake model: texts that share words are near."""
    return fake_vectors([encoding.ids for encoding in FakeTokenizer().encode(texts, 256, "end")])


def texts_of(quotes: Sequence[Quote], passages: Sequence[str]) -> list[str]:
    return [passages[quote.passage][quote.start : quote.end] for quote in quotes]


async def test_the_sentence_that_answers_is_quoted_word_for_word() -> None:
    quotes = await extract("Who designed the bridge?", [TEA, FORTH], embed, limit=1)
    assert texts_of(quotes, [TEA, FORTH]) == ["Benjamin Baker designed the bridge."]


async def test_a_question_about_something_else_gets_no_quote() -> None:
    assert await extract("Why do volcanoes erupt in Iceland?", [TEA, FORTH], embed) == []


async def test_without_passages_there_is_no_quote() -> None:
    assert await extract("Who designed it?", [], embed) == []
    assert await extract("Who designed it?", ["", " \n"], embed) == []


async def test_quotes_come_in_reading_order_not_in_order_of_closeness() -> None:
    passages = ["Black tea is strong.", "Black tea takes boiling water."]
    quotes = await extract("Which water does black tea take?", passages, embed, threshold=0.1)
    assert [(quote.passage, quote.start) for quote in quotes] == sorted(
        (quote.passage, quote.start) for quote in quotes
    )
    assert max(quotes, key=lambda quote: quote.score).passage == 1
    assert quotes[0].passage == 0


async def test_at_most_limit_sentences_are_quoted() -> None:
    passage = " ".join(
        f"Tea number {n} is a tea of the tea garden." for n in ("one", "two", "three", "four", "five")
    )
    assert len(await extract("Which tea is in the tea garden?", [passage], embed, limit=2)) <= 2


async def test_a_sentence_that_two_passages_share_is_quoted_once_from_the_first() -> None:
    quotes = await extract("Which water does black tea take?", [TEA, TEA], embed)
    assert [quote.passage for quote in quotes if quote.passage == 1] == []
    assert texts_of(quotes, [TEA, TEA]).count("Black tea takes boiling water.") == 1


async def test_nearly_the_same_sentence_is_not_quoted_twice() -> None:
    passages = ["Black tea takes boiling water.", "black Tea takes boiling water."]
    assert len(await extract("Which water does black tea take?", passages, embed)) == 1


async def test_of_equally_close_sentences_the_better_passage_wins() -> None:
    passages = ["Baker designed bridges.", "Smith designed bridges."]
    quotes = await extract("Who designed bridges?", passages, embed, limit=1)
    assert [quote.passage for quote in quotes] == [0]


async def test_a_heading_is_not_quoted_but_speaks_for_what_stands_below() -> None:
    passage = "## Installation on Debian\n\nType this into a terminal.\n\n## Taxes\n\nAsk your advisor."
    quotes = await extract("How does installation on Debian work?", [passage], embed, threshold=0.2)
    assert texts_of(quotes, [passage]) == ["Type this into a terminal."]


async def test_a_question_is_not_quoted_but_speaks_for_the_sentence_behind_it() -> None:
    passage = "How do I reset the alarm clock? Hold both buttons. They are blue."
    quotes = await extract("How do I reset the alarm clock?", [passage], embed)
    assert texts_of(quotes, [passage]) == ["Hold both buttons."]


async def test_markers_fences_and_rules_are_left_out_of_quotes() -> None:
    passage = "* - 1. Start the service with make run\n\n```sh\nmake run starts the service\n```\n\n---\n"
    quotes = await extract("What starts the service?", [passage], embed, threshold=0.1)
    assert texts_of(quotes, [passage]) == ["Start the service with make run", "make run starts the service"]


async def test_a_question_of_stop_words_is_compared_by_vector_alone() -> None:
    passages = [TEA, "It is what it is."]
    quotes = await extract("What is it?", passages, embed, limit=1)
    assert texts_of(quotes, passages) == ["It is what it is."]


async def test_chinese_terms_are_single_characters() -> None:
    passages = ["北京是中国的首都。上海很大。"]
    quotes = await extract("中国的首都是哪里", passages, embed, limit=1, threshold=0.2)
    assert texts_of(quotes, passages) == ["北京是中国的首都。"]


async def test_a_long_reading_list_costs_a_bounded_number_of_vectors() -> None:
    asked: list[int] = []

    async def counting(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        asked.append(len(texts))
        return await embed(texts)

    passage = "\n\n".join(f"Sentence {n} is about subject {n}." for n in range(200))
    quotes = await extract("What is subject 150?", [passage], counting, limit=1)
    assert texts_of(quotes, [passage]) == ["Sentence 150 is about subject 150."]
    assert asked == [13]


@given(st.text(max_size=60), st.lists(st.text(max_size=200), max_size=4))
async def test_quotes_are_always_stretches_of_their_passages_in_order(
    question: str, passages: list[str]
) -> None:
    quotes = await extract(question, passages, embed, threshold=0.0)
    assert len(quotes) <= 3
    places = [(quote.passage, quote.start, quote.end) for quote in quotes]
    assert places == sorted(set(places))
    for text in texts_of(quotes, passages):
        assert text
        assert text == text.strip()


async def test_code_and_data_are_not_quoted() -> None:
    prose = "Spring tides come at new moon."
    passages = [prose, 'tides = client.get({"spring": [1, 2], "tides": "new moon"}, moon="new")']
    quotes = await extract("When do spring tides come, at new moon?", passages, embed)
    assert texts_of(quotes, passages) == [prose]
