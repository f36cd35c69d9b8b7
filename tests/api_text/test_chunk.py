"""The chunker: what a chunk holds, how large it is and where it says it comes from."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.services.chunk import Chunk, chunk, passage_context
from api.services.parse import Parsed
from embedd.fake import FakeTokenizer

TOKENIZER = FakeTokenizer()


class CharacterTokenizer:
    """Every character that is not blank is a token, or several: the hardest case for a budget."""

    special_tokens = 2

    def __init__(self, per_character: int) -> None:
        self._per_character = per_character

    def spans(self, text: str) -> npt.NDArray[np.int32]:
        places = [(at, at + 1) for at, character in enumerate(text) if not character.isspace()]
        return np.array(places, dtype=np.int32).reshape(-1, 2).repeat(self._per_character, axis=0)


def markdown(text: str) -> Parsed:
    return Parsed(text, "text/markdown")


def plain(text: str) -> Parsed:
    return Parsed(text, "text/plain")


def texts(parsed: Parsed, chunks: list[Chunk]) -> list[str]:
    return [parsed.text[piece.start : piece.end] for piece in chunks]


def words(count: int, stem: str = "word") -> str:
    """One sentence of ``count`` words and a full stop."""
    return " ".join([stem.capitalize(), *[stem] * (count - 1)]) + "."


def test_a_short_text_is_one_chunk() -> None:
    parsed = plain("  One sentence. And another.\n")
    [only] = chunk(parsed, TOKENIZER, max_tokens=64)
    assert texts(parsed, [only]) == ["One sentence. And another."]
    assert (only.page, only.heading, only.context) == (None, "", "")
    assert only.tokens == TOKENIZER.count(["One sentence. And another."])[0]


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_a_blank_text_has_no_chunks(text: str) -> None:
    assert chunk(plain(text), TOKENIZER, max_tokens=64) == []


def test_long_prose_is_cut_at_sentences_into_balanced_pieces() -> None:
    parsed = plain(" ".join([words(9)] * 12))
    chunks = chunk(parsed, TOKENIZER, max_tokens=54)
    assert [piece.tokens for piece in chunks] == [40, 40, 40]


def test_a_sentence_that_fits_is_never_cut() -> None:
    sentences = [words(count) for count in (30, 5, 28, 31, 2, 17)]
    parsed = plain(" ".join(sentences))
    found = texts(parsed, chunk(parsed, TOKENIZER, max_tokens=40))
    assert all(any(sentence in text for text in found) for sentence in sentences)


def test_a_sentence_that_is_too_long_is_cut_between_words() -> None:
    parsed = plain(words(100))
    chunks = chunk(parsed, TOKENIZER, max_tokens=34)
    assert {word for text in texts(parsed, chunks) for word in text.split()} == {"Word", "word", "word."}
    assert max(piece.tokens for piece in chunks) <= 30


def test_a_word_that_is_too_long_is_cut_too() -> None:
    parsed = plain("x" * 5000)
    chunks = chunk(parsed, TOKENIZER, max_tokens=34)
    assert "".join(texts(parsed, chunks)) == parsed.text
    assert max(piece.end - piece.start for piece in chunks) <= 32 * 30


def test_a_character_of_more_tokens_than_fit_stands_alone() -> None:
    parsed = plain("ab")
    assert texts(parsed, chunk(parsed, CharacterTokenizer(4), max_tokens=6)) == ["a", "b"]


def test_a_target_asks_for_smaller_chunks() -> None:
    parsed = plain(" ".join([words(9)] * 12))
    chunks = chunk(parsed, TOKENIZER, max_tokens=200, target_tokens=20)
    assert [piece.tokens for piece in chunks] == [20] * 6


def test_chunks_follow_headings() -> None:
    parsed = markdown(f"# Guide\n\n{words(20)}\n\n## Setup\n\n{words(20)}\n\n## Use\n\n{words(20)}")
    chunks = chunk(parsed, TOKENIZER, max_tokens=48)
    assert [piece.heading for piece in chunks] == ["Guide", "Guide > Setup", "Guide > Use"]
    assert [text.split("\n")[0] for text in texts(parsed, chunks)] == ["# Guide", "## Setup", "## Use"]


def test_a_heading_without_text_goes_with_what_follows() -> None:
    parsed = markdown(f"# Guide\n\n## Setup\n\n{words(20)}")
    [only] = chunk(parsed, TOKENIZER, max_tokens=64)
    assert only.heading == "Guide > Setup"
    assert texts(parsed, [only])[0].startswith("# Guide")


def test_a_document_of_headings_alone_is_kept() -> None:
    parsed = markdown("# Guide\n\n## Setup\n")
    assert texts(parsed, chunk(parsed, TOKENIZER, max_tokens=64)) == ["# Guide\n\n## Setup"]


def test_tiny_sections_are_merged_under_the_headings_they_share() -> None:
    parsed = markdown("# Guide\n\nRead.\n\n## One\n\nFirst.\n\n## Two\n\nSecond.")
    [only] = chunk(parsed, TOKENIZER, max_tokens=120)
    assert only.heading == "Guide"


def test_a_tiny_last_section_joins_the_one_before() -> None:
    parsed = markdown(f"# One\n\n{words(40)}\n\n# Two\n\nEnd.")
    [only] = chunk(parsed, TOKENIZER, max_tokens=80)
    assert (only.heading, only.end) == ("", len(parsed.text))


def test_headings_in_plain_text_mean_nothing() -> None:
    parsed = plain("# Guide\n\nRead.")
    assert chunk(parsed, TOKENIZER, max_tokens=64)[0].heading == ""


def test_a_number_sign_in_a_fence_is_no_heading() -> None:
    parsed = markdown("# Guide\n\n```sh\n# a comment\nmake\n```\n")
    assert [piece.heading for piece in chunk(parsed, TOKENIZER, max_tokens=64)] == ["Guide"]


def test_headings_lose_their_markup() -> None:
    parsed = markdown("## The `run` *command* of [make](https://example.org) ##\n\nText here.")
    assert chunk(parsed, TOKENIZER, max_tokens=64)[0].heading == "The run command of make"


def test_front_matter_is_no_heading() -> None:
    parsed = markdown("---\ntitle: x\n---\n\n# Guide\n\nRead.")
    [only] = chunk(parsed, TOKENIZER, max_tokens=64)
    assert (only.start, only.heading) == (0, "")


@pytest.mark.parametrize(
    "block",
    [
        "```\n" + "line of code. More code\n" * 4 + "```",
        "| a | b |\n| - | - |\n" + "| One. Two. | three |\n" * 3,
        "    " + "\n    ".join(["indented code. More"] * 5),
    ],
)
def test_code_and_tables_that_fit_are_kept_whole(block: str) -> None:
    parsed = markdown(f"{words(25)}\n\n{block}\n\n{words(25)}")
    found = texts(parsed, chunk(parsed, TOKENIZER, max_tokens=60))
    assert len(found) > 1
    assert any(block.strip() in text for text in found)


def test_a_table_that_the_model_can_take_is_kept_whole_where_smaller_chunks_are_asked_for() -> None:
    table = "| a | b |\n| - | - |\n" + "| one. Two | three |\n" * 8
    parsed = markdown(f"{words(30)}\n\n{table}\n{words(30)}")
    chunks = chunk(parsed, TOKENIZER, max_tokens=120, target_tokens=20)
    assert table.strip() in texts(parsed, chunks)
    assert all(piece.tokens <= 20 or parsed.text[piece.start] == "|" for piece in chunks)


def test_a_table_that_does_not_fit_is_cut_between_rows() -> None:
    parsed = markdown("| a | b |\n| - | - |\n" + "| one. Two | three |\n" * 40)
    found = texts(parsed, chunk(parsed, TOKENIZER, max_tokens=60))
    assert len(found) > 1
    assert all(line.startswith("|") and line.endswith("|") for text in found for line in text.split("\n"))


def test_a_chunk_has_the_page_it_begins_on() -> None:
    pages = [words(20, "one"), "", words(20, "three")]
    text = f"{pages[0]}\n\n{pages[2]}"
    third = text.index("Three")
    parsed = Parsed(text, "application/pdf", page_starts=(0, third, third))
    assert [piece.page for piece in chunk(parsed, TOKENIZER, max_tokens=30)] == [1, 3]


def test_the_context_is_the_title_and_the_headings() -> None:
    assert passage_context("Guide", "Setup > Debian") == "Guide\nSetup > Debian"
    assert passage_context("", "Setup") == "Setup"
    assert passage_context("Guide", "") == "Guide"
    assert passage_context("", "") == ""


def test_a_title_that_is_also_the_first_heading_is_said_once() -> None:
    assert passage_context("Guide", "Guide > Setup") == "Guide\nSetup"
    assert passage_context("Guide", "Guidelines > Setup") == "Guide\nGuidelines > Setup"


def test_a_huge_title_leaves_room_for_the_text() -> None:
    parsed = markdown(f"# {'heading ' * 500}\n\n{words(200)}")
    for piece in chunk(parsed, TOKENIZER, max_tokens=64, title="title " * 500):
        assert len(TOKENIZER.spans(piece.context)) <= 64 // 3
        assert TOKENIZER.count([piece.embedded_text(parsed.text)])[0] + TOKENIZER.special_tokens <= 64


def test_the_embedded_text_is_the_context_above_the_chunk() -> None:
    parsed = markdown("# Setup\n\nType make.")
    [only] = chunk(parsed, TOKENIZER, max_tokens=64, title="Guide")
    assert only.embedded_text(parsed.text) == "Guide\nSetup\n# Setup\n\nType make."


markdown_texts = st.lists(
    st.sampled_from(
        [
            *("# One", "## Two\n", "### Three", "Title\n====", "---\n", "```", "~~~", "    code", "> quote"),
            *(
                "| a | b |\n| - | - |\n| 1 | 2 |",
                "- item",
                "1. first",
                "[a]: b",
                "<div>",
                "\n",
                "\n\n",
                "\r\n",
                "\r",
            ),
            *(" ", "A word. ", "Another sentence of some words! ", "x" * 40, "é。", "\u2028", "<!-- c -->"),
        ]
    ),
    max_size=40,
).map("\n".join)


@settings(deadline=None)
@given(
    text=st.one_of(st.text(max_size=300), markdown_texts),
    media_type=st.sampled_from(["text/markdown", "text/html", "text/plain", "application/pdf"]),
    max_tokens=st.integers(16, 64),
    title=st.text(max_size=40),
    tokenizer=st.sampled_from([FakeTokenizer(), CharacterTokenizer(1)]),
)
def test_chunks_hold_everything_once_in_order_and_fit(
    text: str, media_type: str, max_tokens: int, title: str, tokenizer: FakeTokenizer | CharacterTokenizer
) -> None:
    chunks = chunk(Parsed(text, media_type), tokenizer, max_tokens=max_tokens, title=title)
    last_end = 0
    for piece in chunks:
        body = text[piece.start : piece.end]
        assert body
        assert body == body.strip()
        assert not text[last_end : piece.start].strip()
        last_end = piece.end
        assert len(tokenizer.spans(piece.embedded_text(text))) + tokenizer.special_tokens <= max_tokens
    assert not text[last_end:].strip()


def test_a_heading_as_long_as_a_book_is_not_repeated_with_every_chunk() -> None:
    parsed = markdown("# " + "word " * 5_000 + "\n\n" + "A sentence stands here. " * 200)
    chunks = chunk(parsed, TOKENIZER, max_tokens=64)
    assert max(len(piece.heading) for piece in chunks) <= 200
