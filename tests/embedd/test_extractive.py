"""Which sentences are quoted for a question, and how likely it is that they answer it."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from embedd.extractive import DEFAULT_THRESHOLD, MOST_QUOTES, MOST_READ, Asked, Evidence, Passage, judge
from embedd.fake import FakeTokenizer, fake_token_vectors, fake_vectors
from embedd.words import read_words

FORTH = "The Forth Bridge crosses the Firth of Forth. It opened in 1890. Benjamin Baker designed the bridge."
TEA = "Green tea is brewed at eighty degrees. Black tea takes boiling water."
TOKENIZER = FakeTokenizer()


def read(question: str, *passages: str, title: str = "") -> Evidence:
    """Judged with the shipped fake model: a token is near its like and nothing else."""
    (ids,) = (encoding.ids for encoding in TOKENIZER.encode([question], 256, "end"))
    tokens = fake_token_vectors(ids)[1:-1]
    weights = np.full(len(tokens), 1 / max(1, len(tokens)), dtype=np.float32)
    asked = Asked(fake_vectors([ids])[0], tokens, weights)
    return judge(asked, [passage_of(text, title) for text in passages])


def passage_of(text: str, title: str) -> Passage:
    before = f"{title}\n" if title else ""
    (ids,) = (encoding.ids for encoding in TOKENIZER.encode([before + text], 256, "end"))
    return Passage(text, fake_token_vectors(ids)[1:-1], TOKENIZER.spans(before + text) - len(before))


def texts_of(evidence: Evidence, passages: Sequence[str]) -> list[str]:
    return [passages[quote.passage][quote.start : quote.end] for quote in evidence.quotes]


def test_the_sentence_that_answers_comes_first_word_for_word() -> None:
    evidence = read("Who designed the bridge?", TEA, FORTH)
    assert texts_of(evidence, [TEA, FORTH])[0] == "Benjamin Baker designed the bridge."
    assert evidence.probability > DEFAULT_THRESHOLD


def test_a_question_about_something_else_has_no_evidence() -> None:
    assert read("Why do volcanoes erupt in Iceland?", TEA, FORTH).probability < DEFAULT_THRESHOLD


def test_without_passages_or_without_words_there_is_nothing() -> None:
    nothing = Evidence((), 0.0)
    assert read("Who designed it?") == read("Who?", "", " \n") == read("", TEA) == nothing


def test_a_sentence_is_known_by_what_the_one_before_it_says() -> None:
    passage = "Rain fell. The bridge is made of steel. It was painted red. Nobody came."
    first = texts_of(read("What colour was the steel bridge painted?", passage), [passage])[0]
    assert first == "It was painted red."


def test_title_and_headings_speak_for_every_sentence_below() -> None:
    passage = "Type this into a terminal."
    named = read("How does installation work on Debian?", passage, title="Installation on Debian")
    assert named.quotes[0].score > read("How does installation work on Debian?", passage).quotes[0].score


def test_a_heading_in_a_passage_is_not_quoted_but_speaks_for_what_stands_below() -> None:
    passage = "## Taxes\n\nAsk your advisor.\n\n## Installation on Debian\n\nType this into a terminal."
    first = texts_of(read("How does installation on Debian work?", passage), [passage])[0]
    assert first == "Type this into a terminal."


def test_a_question_is_not_quoted_but_speaks_for_the_sentence_behind_it() -> None:
    passage = "They are blue. How do I reset the alarm clock? Hold both buttons."
    quoted = texts_of(read("How do I reset the alarm clock?", passage), [passage])
    assert quoted[0] == "Hold both buttons."
    assert passage[15:47] not in quoted


def test_a_sentence_that_two_passages_share_is_quoted_once_from_the_first() -> None:
    shouted = TEA.upper()
    evidence = read("Which water does black tea take?", TEA, shouted)
    assert {quote.passage for quote in evidence.quotes} == {0}


def test_of_equally_close_sentences_the_one_in_the_better_passage_comes_first() -> None:
    evidence = read("Who designed bridges?", "Baker designed bridges.", "Smith designed bridges.")
    assert evidence.quotes[0].passage == 0


def test_markers_fences_rules_and_code_are_left_out_of_quotes() -> None:
    passage = (
        "* - 1. Start the service with make run\n\n```sh\nmake run starts the service\n```\n\n---\n"
        'service = client.start({"service": [1, 2], "make": "run"}, with="service")\n'
    )
    quoted = texts_of(read("What starts the service with make run?", passage), [passage])
    assert set(quoted) == {"Start the service with make run", "make run starts the service"}


def test_what_the_model_could_not_take_is_not_quoted() -> None:
    whole = passage_of(TEA, "")
    cut = Passage(TEA, whole.tokens[:8], whole.spans)
    tokens = fake_token_vectors(TOKENIZER.encode(["boiling water"], 256, "end")[0].ids)[1:-1]
    asked = Asked(tokens.sum(axis=0), tokens, np.full(2, 0.5, dtype=np.float32))
    assert texts_of(judge(asked, [cut]), [TEA]) == ["Green tea is brewed at eighty degrees."]


def test_only_the_best_passages_are_read() -> None:
    passages = ["Rain falls."] * MOST_READ + ["Baker designed bridges."]
    assert {quote.passage for quote in read("Who designed bridges?", *passages).quotes} == {0}


def test_without_a_model_words_are_compared() -> None:
    asked, passages = read_words("Who designed the bridges?", [TEA, FORTH])
    evidence = judge(asked, passages)
    assert texts_of(evidence, [TEA, FORTH])[0] == "Benjamin Baker designed the bridge."
    assert evidence.probability > DEFAULT_THRESHOLD
    asked, passages = read_words("中国的首都是哪里", ["上海很大。北京是中国的首都。"])
    assert texts_of(judge(asked, passages), ["上海很大。北京是中国的首都。"])[0] == "北京是中国的首都。"


@given(st.text(max_size=60), st.lists(st.text(max_size=200), max_size=4))
def test_quotes_are_always_few_stretches_of_their_passages(question: str, passages: list[str]) -> None:
    for evidence in (read(question, *passages), judge(*read_words(question, passages))):
        assert len(evidence.quotes) <= MOST_QUOTES
        assert 0 <= evidence.probability <= 1
        for text in texts_of(evidence, passages):
            assert text
            assert text == text.strip()
