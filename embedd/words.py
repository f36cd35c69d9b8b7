"""Questions and passages read without a model: a word is a token that is close to its like alone. Pure."""

import re
from collections.abc import Sequence

import numpy as np

from embedd.extractive import Asked, Passage
from embedd.stop_words import STOP_WORDS

# Chinese and Japanese put no blanks between words: each character is a word.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")
_SUFFIXES = ("ing", "edly", "ed", "es", "s", "ly")


def read_words(question: str, texts: Sequence[str]) -> tuple[Asked, list[Passage]]:
    """The question's words but those that are everywhere, each as a direction of its own (dim = t)."""
    words = list(dict.fromkeys(_stem(word) for word in _WORD.findall(question.lower())))
    telling = [word for word in words if word not in STOP_WORDS] or words
    place = {word: number for number, word in enumerate(telling)}
    tokens = np.eye(len(telling), dtype=np.float32)
    weights = np.full(len(telling), 1 / max(1, len(telling)), dtype=np.float32)
    return Asked(tokens.sum(axis=0), tokens, weights), [_read(text, place) for text in texts]


def _read(text: str, place: dict[str, int]) -> Passage:
    found = list(_WORD.finditer(text))
    tokens = np.zeros((len(found), len(place)), dtype=np.float32)
    for row, word in enumerate(found):
        at = place.get(_stem(word.group().lower()))
        if at is not None:
            tokens[row, at] = 1.0
    spans = np.array([word.span() for word in found], dtype=np.int32).reshape(-1, 2)
    return Passage(text, tokens, spans)


def _stem(word: str) -> str:
    """``word`` without a common English ending; crude, but question and sentence are cut alike."""
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) >= len(suffix) + 3:
            return word.removesuffix(suffix)
    return word
