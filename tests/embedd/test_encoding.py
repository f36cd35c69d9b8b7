"""How pairs, token ids and whole texts are laid between special tokens; and tokens shown to people."""

import json

import pytest
import tokenizers
from tokenizers import models, pre_tokenizers, processors

from embedd.errors import InvalidInput
from embedd.fake import FakeTokenizer
from embedd.sources import resolve
from embedd.specs import parse_spec
from embedd.tokenizer import TextTokenizer, Tokenizer, read_tokenizer

TEXT = "Der Fluß steht höher: 12.5 m, sagt Émile (heute) 🚀."
FOLDER = resolve(parse_spec("all-MiniLM-L6-v2")).folder
BUNDLED = read_tokenizer(FOLDER)
BOTH = pytest.mark.parametrize("tokenizer", [BUNDLED, FakeTokenizer()], ids=["bundled", "fake"])


def words(post_processor: processors.PostProcessor | None) -> tokenizers.Tokenizer:
    """A tokenizer of the words a to h and the specials <s> and </s>."""
    vocabulary = {word: number for number, word in enumerate(["<s>", "</s>", "?", *"abcdefgh"])}
    tokenizer = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if post_processor is not None:
        tokenizer.post_processor = post_processor
    return tokenizer


def template(single: str, pair: str) -> processors.PostProcessor:
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=[("<s>", 0), ("</s>", 1)])


SHAPES = {
    "bert": template("<s> $A </s>", "<s> $A </s> $B:1 </s>:1"),
    "roberta": processors.RobertaProcessing(("</s>", 1), ("<s>", 0)),
    "t5": template("$A </s>", "$A </s> $B </s>"),
    "both beginnings": template("<s> $A", "<s> $A <s>:1 $B:1"),
    "none": None,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_texts_and_pairs_have_the_special_tokens_that_the_library_gives_them(shape: str) -> None:
    library = words(SHAPES[shape])
    tokenizer = Tokenizer(library.to_str())
    for text in ("a", "b c", "h a e"):
        assert tokenizer.encode([text], 9, "end")[0].ids.tolist() == library.encode(text).ids
        (pair,) = tokenizer.encode_pairs("d e", [text], 12, "end")
        expected = library.encode("d e", text)
        assert pair.ids.tolist() == expected.ids
        assert pair.second == (expected.type_ids.index(1) if 1 in expected.type_ids else -1)


def test_texts_of_a_pair_are_not_told_apart_for_a_model_that_does_not_want_it() -> None:
    tokenizer = Tokenizer(words(SHAPES["bert"]).to_str(), segments=False)
    assert tokenizer.encode_pairs("a", ["b"], 9, "end")[0].second == -1


def test_a_text_without_any_token_is_refused() -> None:
    with pytest.raises(InvalidInput, match="input 1 has no tokens"):
        Tokenizer(words(None).to_str()).encode(["a", " "], 8, "end")


@BOTH
@pytest.mark.parametrize(
    ("query", "text", "kept_of_query", "kept_of_text"),
    [
        ("a b c", "d e", "a b c", "d e"),
        ("a b", "c d e f g h", "a b", "c d e"),
        ("a b c d e f g h", "i", "a b c d", "i"),
        ("a b c d e f g h", "i j k l m n o", "a b c", "i j"),
    ],
)
def test_a_pair_that_is_too_long_loses_text_and_the_query_at_most_its_second_half(
    tokenizer: TextTokenizer, query: str, text: str, kept_of_query: str, kept_of_text: str
) -> None:
    (pair,) = tokenizer.encode_pairs(query, [text], 8, "end")
    (expected,) = tokenizer.encode_pairs(kept_of_query, [kept_of_text], 8, "end")
    assert (pair.ids.tolist(), pair.second) == (expected.ids.tolist(), expected.second)
    assert pair.total == sum(tokenizer.count([query, text])) + 3


@BOTH
def test_a_pair_that_is_too_long_and_may_not_be_cut_is_named(tokenizer: TextTokenizer) -> None:
    with pytest.raises(InvalidInput, match="input 6 has 9 tokens, the model takes 8"):
        tokenizer.encode_pairs("a b c", ["d", "e f g"], 8, "none", first_index=5)


@BOTH
def test_pairs_begin_their_second_segment_with_the_text(tokenizer: TextTokenizer) -> None:
    (pair,) = tokenizer.encode_pairs("a b", ["c"], 16, "end")
    assert pair.second == 4
    assert pair.ids[pair.second] == tokenizer.encode(["c"], 16, "end")[0].ids[1]


@BOTH
def test_token_ids_get_the_special_tokens_that_they_lack(tokenizer: TextTokenizer) -> None:
    expected = tokenizer.encode([TEXT], 256, "end")[0].ids.tolist()
    for ids in (expected, expected[1:-1], expected[1:], expected[:-1]):
        (encoding,) = tokenizer.encode_ids([ids], 256, "end")
        assert encoding.ids.tolist() == expected
        assert encoding.total == len(expected)


@BOTH
def test_token_ids_follow_the_tokens_of_the_prompt(tokenizer: TextTokenizer) -> None:
    (ids,) = tokenizer.encode(["red fox"], 256, "end")
    (expected,) = tokenizer.encode(["query: red fox"], 256, "end")
    (encoding,) = tokenizer.encode_ids([ids.ids.tolist()], 256, "end", prompt="query: ")
    assert encoding.ids.tolist() == expected.ids.tolist()


@BOTH
def test_token_ids_are_cut_like_texts(tokenizer: TextTokenizer) -> None:
    (ids,) = tokenizer.encode(["a b c d e f"], 256, "end")
    (encoding,) = tokenizer.encode_ids([ids.ids.tolist()], 5, "start")
    assert encoding.ids.tolist() == tokenizer.encode(["a b c d e f"], 5, "start")[0].ids.tolist()
    assert encoding.total == 8
    with pytest.raises(InvalidInput, match="input 3 has 8 tokens, the model takes 5"):
        tokenizer.encode_ids([ids.ids.tolist()], 5, "none", first_index=3)


@BOTH
@pytest.mark.parametrize("wrong", [-1, 2**31, 10**30])
def test_a_token_id_outside_the_vocabulary_is_named(tokenizer: TextTokenizer, wrong: int) -> None:
    with pytest.raises(InvalidInput, match=f"input 1 has the token id {wrong}, the model knows 0 to"):
        tokenizer.encode_ids([[5], [6, wrong]], 16, "end")
    with pytest.raises(InvalidInput, match=f"the token id {wrong}"):
        tokenizer.decode([wrong])


def test_the_vocabulary_has_a_size() -> None:
    assert BUNDLED.vocab_size == 30_522
    gaps = {"version": "1.0", "added_tokens": []}
    gaps["model"] = {"type": "WordLevel", "vocab": {"a": 0, "[UNK]": 7}, "unk_token": "[UNK]"}
    assert Tokenizer(json.dumps(gaps)).vocab_size == 8


def test_a_token_id_that_the_model_has_no_vector_for_is_refused() -> None:
    with pytest.raises(InvalidInput, match="input 0 has the token id 20000, the model knows 0 to 19999"):
        read_tokenizer(FOLDER, embedded=20_000).encode_ids([[20_000]], 16, "end")
    assert read_tokenizer(FOLDER, embedded=40_000).vocab_size == BUNDLED.vocab_size


@BOTH
def test_details_say_where_each_token_stands(tokenizer: TextTokenizer) -> None:
    tokens = tokenizer.details(TEXT)
    assert [token.id for token in tokens] == tokenizer.encode([TEXT], 256, "end")[0].ids.tolist()
    inner = tokens[1:-1]
    assert [token.special for token in tokens] == [True, *[False] * len(inner), True]
    assert all(TEXT[token.start : token.stop] == token.text for token in inner)
    assert (tokens[0].start, tokens[0].stop, bool(tokens[0].text)) == (None, None, True)
    assert tokenizer.details(TEXT, special=False) == inner


def test_details_of_a_long_text_stand_at_their_places() -> None:
    text = "tide " * 20_000
    tokens = BUNDLED.details(text, special=False)
    assert [token.start for token in tokens] == list(range(0, len(text), 5))


def test_ids_become_text_again() -> None:
    ids = BUNDLED.encode(["the red fox"], 256, "end")[0].ids.tolist()
    assert BUNDLED.decode(ids) == "the red fox"
    assert BUNDLED.decode(ids, skip_special=False) == "[CLS] the red fox [SEP]"


def test_the_fake_model_shows_ids_instead_of_words() -> None:
    assert FakeTokenizer().decode([0, 17, 1]) == "#17"
    assert FakeTokenizer().decode([0, 17, 1], skip_special=False) == "<s> #17 </s>"


@BOTH
@pytest.mark.parametrize("read", ["details", "spans"])
def test_invalid_text_is_refused_wherever_it_is_read(tokenizer: TextTokenizer, read: str) -> None:
    with pytest.raises(InvalidInput, match="input 0 is no valid Unicode"):
        getattr(tokenizer, read)("\ud800")
    with pytest.raises(InvalidInput, match="input 1 is no valid Unicode"):
        tokenizer.count(["", "\ud800"])
