"""Tokenizers: one set of rules for the real one and the fake one."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers, processors, trainers

from embedd.errors import InvalidInput, ModelLoadError
from embedd.fake import FakeTokenizer, fake_vectors
from embedd.sources import resolve
from embedd.specs import parse_spec
from embedd.tokenizer import TextTokenizer, Tokenizer, Truncate, read_tokenizer

TEXT = "Der Fluß steht höher: 12.5 m, sagt Émile (heute) 🚀."


def bundled() -> Tokenizer:
    return read_tokenizer(resolve(parse_spec("all-MiniLM-L6-v2")).folder)


BUNDLED = bundled()
BOTH = pytest.mark.parametrize("tokenizer", [BUNDLED, FakeTokenizer()], ids=["bundled", "fake"])


@BOTH
def test_an_encoding_has_the_text_between_the_special_tokens(tokenizer: TextTokenizer) -> None:
    encoding = tokenizer.encode([TEXT], 256, "end")[0]
    assert encoding.ids.dtype == np.int32
    assert encoding.total == len(encoding.ids) == tokenizer.count([TEXT])[0] + tokenizer.special_tokens


@BOTH
def test_spans_are_code_point_offsets_in_order(tokenizer: TextTokenizer) -> None:
    spans = tokenizer.spans(TEXT)
    assert spans.shape == (tokenizer.count([TEXT])[0], 2)
    assert TEXT[slice(*spans[0])] == "Der"
    assert TEXT[slice(*spans[-1])] == "."
    assert (np.diff(spans[:, 0]) >= 0).all()
    covered = {offset for start, end in spans for offset in range(start, end)}
    assert covered == {offset for offset, letter in enumerate(TEXT) if not letter.isspace()}


@BOTH
def test_a_text_without_words_has_no_spans(tokenizer: TextTokenizer) -> None:
    assert tokenizer.spans(" ").shape == (0, 2)
    assert tokenizer.count([" "]) == [0]


@BOTH
@pytest.mark.parametrize(("truncate", "kept"), [("end", "alpha beta"), ("start", "gamma delta")])
def test_a_long_text_is_cut_at_the_end_asked_for(tokenizer: TextTokenizer, truncate: str, kept: str) -> None:
    text = "alpha beta gamma delta"
    words = tokenizer.count([kept])[0]
    limit = words + tokenizer.special_tokens
    encoding = tokenizer.encode([text], limit, truncate)[0]
    assert encoding.ids.tolist() == tokenizer.encode([kept], 256, "end")[0].ids.tolist()
    assert encoding.total == tokenizer.count([text])[0] + tokenizer.special_tokens


@BOTH
def test_a_long_text_that_may_not_be_cut_is_named(tokenizer: TextTokenizer) -> None:
    with pytest.raises(InvalidInput, match=r"input 11 has \d+ tokens, the model takes 4"):
        tokenizer.encode(["hi", "one two three four five"], 4, "none", first_index=10)


@BOTH
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=4))
def test_any_text_is_cut_to_the_limit_and_counted_alike(tokenizer: TextTokenizer, texts: list[str]) -> None:
    encodings = tokenizer.encode(texts, 8, "end")
    counts = tokenizer.count(texts)
    assert [one.total - tokenizer.special_tokens for one in encodings] == counts
    assert [len(one.ids) for one in encodings] == [min(one.total, 8) for one in encodings]
    assert [len(tokenizer.spans(text)) for text in texts] == counts


@BOTH
@pytest.mark.parametrize("text", ["\ud800", "word " * 100_000 + "\ud800"])
def test_a_text_with_a_lone_surrogate_is_named(tokenizer: TextTokenizer, text: str) -> None:
    with pytest.raises(InvalidInput, match="input 1 is no valid Unicode"):
        tokenizer.encode(["fine", text], 16, "end")
    with pytest.raises(InvalidInput, match="input 1 is no valid Unicode"):
        tokenizer.encode_pairs("query", ["fine", text], 16, "end")


def test_many_threads_may_share_a_tokenizer() -> None:
    tokenizer = bundled()
    expected = tokenizer.count([TEXT] * 50)
    with ThreadPoolExecutor(8) as threads:
        assert all(counts == expected for counts in threads.map(tokenizer.count, [[TEXT] * 50] * 40))


def test_lower_casing_can_be_added() -> None:
    model = {"type": "WordLevel", "vocab": {"a": 0, "[UNK]": 1}, "unk_token": "[UNK]"}
    cased = json.dumps({"version": "1.0", "added_tokens": [], "model": model})
    assert Tokenizer(cased).encode(["A"], 4, "end")[0].ids.tolist() == [1]
    assert Tokenizer(cased, lowercase=True).encode(["A"], 4, "end")[0].ids.tolist() == [0]


def test_lower_casing_is_not_added_twice() -> None:
    folder = resolve(parse_spec("all-MiniLM-L6-v2")).folder
    lowered, plain = read_tokenizer(folder, lowercase=True), read_tokenizer(folder)
    assert lowered.spans("İstanbul").tolist() == plain.spans("İstanbul").tolist()


def test_a_missing_tokenizer_is_a_load_error_that_says_how_to_make_one(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[UNK]")
    with pytest.raises(ModelLoadError, match=r"tokenizer\.json is missing.*save_pretrained"):
        read_tokenizer(tmp_path)


DEAF = {
    "version": "1.0",
    "added_tokens": [],
    "normalizer": {"type": "Replace", "pattern": {"String": "a"}, "content": ""},
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"},
}


@pytest.mark.parametrize("content", ["{}", "no json", json.dumps(DEAF)])
def test_a_broken_tokenizer_is_a_load_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ModelLoadError, match=r"tokenizer\.json cannot be used"):
        read_tokenizer(tmp_path)


def test_fake_vectors_are_unit_vectors_near_each_other_when_words_are_shared() -> None:
    texts = ["the red fox ran", "The red fox slept", "quantum chromodynamics lecture", " "]
    vectors = fake_vectors([one.ids for one in FakeTokenizer().encode(texts, 256, "end")])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-6)
    near = vectors @ vectors.T
    assert near[0, 1] > 0.5 > near[0, 2]


def test_fake_vectors_never_change() -> None:
    """Data folders made with the fake model must stay readable: this pins its arithmetic."""
    vectors = fake_vectors([FakeTokenizer().encode(["pinned"], 256, "end")[0].ids])
    np.testing.assert_allclose(vectors[0, :4], PINNED, rtol=1e-5)


def test_no_sequences_are_no_vectors() -> None:
    assert fake_vectors([]).shape == (0, 64)


PINNED = [0.13235985, 0.19198477, 0.1014947, 0.09019689]


@pytest.mark.parametrize("blank", [" ", "\n"])
def test_a_long_text_has_the_tokens_of_its_words_at_their_places(blank: str) -> None:
    tokenizer = bundled()
    word = f"flußaufwärts{blank}"
    text = word * 12_000
    one = tokenizer.spans(word)
    repeated = [one + number * len(word) for number in range(12_000)]
    np.testing.assert_array_equal(tokenizer.spans(text), np.concatenate(repeated))
    assert tokenizer.count([text, word]) == [12_000 * len(one), len(one)]


@BOTH
@pytest.mark.parametrize("truncate", ["end", "start"])
def test_a_long_text_is_cut_as_a_short_one(tokenizer: TextTokenizer, truncate: Truncate) -> None:
    short, long = "sea moon tide " * 200, "sea moon tide " * 30_000
    one, other = tokenizer.encode([short, long], 64, truncate)
    np.testing.assert_array_equal(one.ids, other.ids)
    assert one.cut
    assert other.cut


def test_the_length_of_a_text_that_is_not_far_too_long_is_told_exactly() -> None:
    (encoding,) = bundled().encode(["sea moon tide " * 200], 256, "end")
    assert (encoding.total, encoding.exact) == (602, True)


def test_of_a_far_too_long_text_only_what_is_kept_is_read() -> None:
    for truncate in ("end", "start"):
        (encoding,) = bundled().encode(["sea moon tide " * 70_000], 256, truncate)
        assert 256 < encoding.total < 512
        assert not encoding.exact
        assert encoding.cut


def test_more_is_read_where_the_tokens_are_few() -> None:
    text = "flood " + " " * 3_000 + "tide sea " * 30_000
    first, last = (
        bundled().encode(["flood " + "tide sea " * 200], 256, "end"),
        bundled().encode([text], 256, "end"),
    )
    np.testing.assert_array_equal(first[0].ids, last[0].ids)


@pytest.mark.parametrize(("truncate", "kept"), [("end", "first"), ("start", "last")])
def test_what_lies_behind_a_megabyte_of_blanks_is_given_up_and_that_is_told(truncate: str, kept: str) -> None:
    tokenizer = bundled()
    (encoding,) = tokenizer.encode(["first" + " " * 1_000_000 + "last"], 256, truncate)
    assert encoding.ids.tolist() == tokenizer.encode([kept], 256, "end")[0].ids.tolist()
    assert encoding.cut


def test_a_text_whose_tokens_are_few_is_read_to_its_end_if_that_is_near() -> None:
    tokenizer = bundled()
    (encoding,) = tokenizer.encode(["first" + " " * 20 * 256 + "last"], 256, "end")
    assert encoding.ids.tolist() == tokenizer.encode(["first last"], 256, "end")[0].ids.tolist()
    assert not encoding.cut


def test_a_text_that_may_not_be_cut_is_read_to_its_end() -> None:
    tokenizer = bundled()
    (encoding,) = tokenizer.encode(["first" + " " * 100_000 + "last"], 256, "none")
    assert encoding.ids.tolist() == tokenizer.encode(["first last"], 256, "none")[0].ids.tolist()
    assert not encoding.cut
    with pytest.raises(InvalidInput, match=r"input 0 has at least \d+ tokens, the model takes 256"):
        tokenizer.encode(["word " * 100_000], 256, "none")


WORDS = st.sampled_from(["tide", "überflutet", "潮汐", "12.5", "(sea)", "\n", "e\u0301", "🚀🚀", "x" * 40])


def byte_level() -> Tokenizer:
    """A tokenizer like those of decoders: parts of words begin with a blank, one special is at the end."""
    library = tokenizers.Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False
    )
    library.train_from_iterator(
        ["the tide and the sea flooded the red fox", "überflutet 潮汐 tide sea"], trainer
    )
    library.post_processor = processors.TemplateProcessing(single="$A <end>", special_tokens=[("<end>", 0)])
    return Tokenizer(library.to_str())


@pytest.mark.parametrize("tokenizer", [BUNDLED, byte_level()], ids=["bundled", "byte level"])
@pytest.mark.parametrize("truncate", ["start", "end"])
@given(words=st.lists(WORDS, min_size=60, max_size=400))
def test_reading_a_part_keeps_the_tokens_that_reading_the_whole_would(
    tokenizer: Tokenizer, truncate: Truncate, words: list[str]
) -> None:
    text = " ".join(words)
    ids = [token.id for token in tokenizer.details(text, special=False)]
    room = 8 - tokenizer.special_tokens
    (expected,) = tokenizer.encode_ids([ids[-room:] if truncate == "start" else ids[:room]], 8, "none")
    assert tokenizer.encode([text], 8, truncate)[0].ids.tolist() == expected.ids.tolist()


def test_a_long_text_without_a_blank_keeps_its_places() -> None:
    text = "x" * 150_000
    spans = bundled().spans(text)
    assert (spans[0][0], spans[-1][1]) == (0, len(text))
    assert (spans[1:, 0] >= spans[:-1, 1]).all()
