"""The weightless model ``fake``: deterministic, instant, shipped for tests, tools and first steps.

It is no language model: a vector is the normalised sum of one pseudo-random vector per word, so texts
that share words are near each other and nothing else is. Needs numpy alone.
"""

import re
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from embedd.encoding import Encoding, Frame, Room, Token, Tokens, Truncate, refuse_invalid, refuse_unknown

FAKE_DIM = 64
FAKE_MAX_TOKENS = 256

_START, _END = 0, 1  # the ids around each text
_FIRST_WORD = 2
_WORD = re.compile(r"\w+|[^\w\s]")
_SINGLE = Frame(head=(_START,), tail=(_END,))
_PAIR = Frame(head=(_START,), between=(_END,), tail=(_END,), segment=1)
_NAMES = {_START: "<s>", _END: "</s>"}


class FakeTokenizer:
    """Words and single signs; a word's id is a checksum of its lower-case letters."""

    vocab_size = 2**31

    @property
    def here(self) -> bool:
        return True

    @property
    def special_tokens(self) -> int:
        return _SINGLE.size

    def encode(
        self, texts: Sequence[str], max_tokens: int, truncate: Truncate, *, first_index: int = 0
    ) -> list[Encoding]:
        refuse_invalid(texts, first_index)
        room = Room(max_tokens, truncate)
        return [
            _SINGLE.around(Tokens(_ids(text)), room, index) for index, text in enumerate(texts, first_index)
        ]

    def encode_pairs(
        self, query: str, texts: Sequence[str], max_tokens: int, truncate: Truncate, *, first_index: int = 0
    ) -> list[Encoding]:
        refuse_invalid([query], first_index)
        refuse_invalid(texts, first_index)
        room, first = Room(max_tokens, truncate), Tokens(_ids(query))
        return [
            _PAIR.around_both(first, Tokens(_ids(text)), room, index)
            for index, text in enumerate(texts, first_index)
        ]

    def encode_ids(
        self,
        inputs: Sequence[Sequence[int]],
        max_tokens: int,
        truncate: Truncate,
        *,
        prompt: str = "",
        first_index: int = 0,
    ) -> list[Encoding]:
        room, start = Room(max_tokens, truncate), _ids(prompt)
        for index, ids in enumerate(inputs, first_index):
            refuse_unknown(ids, self.vocab_size, index)
        return [
            _SINGLE.around(Tokens([*start, *_SINGLE.stripped(ids)]), room, index)
            for index, ids in enumerate(inputs, first_index)
        ]

    def details(self, text: str, *, special: bool = True) -> list[Token]:
        refuse_invalid([text], 0)
        words = [Token(_id(found[0]), found[0], False, *found.span()) for found in _WORD.finditer(text)]
        if not special:
            return words
        start, end = (Token(one, name, True, None, None) for one, name in _NAMES.items())
        return [start, *words, end]

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """The ids themselves, as ``#id``: no word can be had back from its checksum."""
        refuse_unknown(ids, self.vocab_size, 0)
        shown = [one for one in ids if one not in _NAMES or not skip_special]
        return " ".join(_NAMES.get(one, f"#{one}") for one in shown)

    def spans(self, text: str) -> npt.NDArray[np.int32]:
        refuse_invalid([text], 0)
        return np.array([match.span() for match in _WORD.finditer(text)], dtype=np.int32).reshape(-1, 2)

    def count(self, texts: Sequence[str]) -> list[int]:
        refuse_invalid(texts, 0)
        return [len(_WORD.findall(text)) for text in texts]


def fake_vectors(encoded: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.float32]:
    """The unit vectors (n, 64) of token ids as ``FakeTokenizer`` gives them."""
    vectors = np.empty((len(encoded), FAKE_DIM), dtype=np.float32)
    for row, ids in enumerate(encoded):
        summed = _token_vectors(_words(ids)).sum(axis=0)
        vectors[row] = summed / np.linalg.norm(summed)
    return vectors


def fake_token_vectors(ids: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """One unit vector (n, 64) per token of a text, specials included; equal tokens have equal vectors."""
    vectors = _token_vectors(ids)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def fake_score(ids: npt.NDArray[np.int32], second: int) -> float:
    """The raw score of a pair, from -4 to 4 as more of the first segment's words are in the second one."""
    first, other = set(ids[:second].tolist()), set(ids[second:].tolist())
    words = {word for word in first if word >= _FIRST_WORD}
    return 8.0 * len(words & other) / max(len(words), 1) - 4.0


def _ids(text: str) -> list[int]:
    return [_id(word) for word in _WORD.findall(text)]


def _id(word: str) -> int:
    return _FIRST_WORD + zlib.crc32(word.lower().encode()) % (2**31 - _FIRST_WORD)


def _words(ids: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """The ids without those around them, or these where a text has no word at all."""
    words = ids[ids >= _FIRST_WORD]
    return words if len(words) else ids


def _token_vectors(ids: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """One vector (n, 64) per id, every coordinate spread evenly over (-1, 1) by splitmix64.

    Steele, Lea and Flood: Fast splittable pseudorandom number generators, OOPSLA 2014.
    """
    state = _u64(_u64(ids)[:, None] * FAKE_DIM + np.arange(1, FAKE_DIM + 1)) * _u64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        state = (state ^ (state >> _u64(shift))) * _u64(factor)
    state ^= state >> _u64(31)
    return state.astype(np.float64) / 2.0**63 - 1.0


def _u64(value: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    return np.asarray(value, dtype=np.uint64)
