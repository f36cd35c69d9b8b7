"""Measures stretches of a text in a model's tokens, and halves those that are too long.

The text is tokenized once. Tokens are counted where they begin, so the counts of neighbours add up.
"""

from array import array
from bisect import bisect_left
from typing import Protocol

import numpy as np
import numpy.typing as npt

# A base64 blob may be one unknown token: long stretches cost more than their tokens, so that no chunk becomes
# unreadable. Prose has 4 to 6 characters per token.
_CHARACTERS_PER_TOKEN = 32


class TokenSpans(Protocol):
    """The part of a model's tokenizer that is needed here."""

    @property
    def special_tokens(self) -> int:
        """How many tokens are put around one text."""

    def spans(self, text: str) -> npt.NDArray[np.int32]:
        """The code-point offsets (n, 2) of every token of ``text``, ascending."""


class Ruler:
    """``text`` with the places of its tokens; offsets are code points."""

    def __init__(self, text: str, tokenizer: TokenSpans) -> None:
        self.text = text
        self._tokenizer = tokenizer
        # One number a token, and not an object each: a document may have millions.
        self._starts = array("i", tokenizer.spans(text)[:, 0].astype(np.intc).tobytes())

    def tokens(self, start: int, end: int) -> int:
        """How many tokens begin in ``[start, end)``."""
        return bisect_left(self._starts, end) - bisect_left(self._starts, start)

    def cost(self, start: int, end: int) -> int:
        """The tokens of a stretch, or more if they are very long."""
        return max(self.tokens(start, end), -(-(end - start) // _CHARACTERS_PER_TOKEN))

    def trimmed(self, start: int, end: int) -> tuple[int, int] | None:
        """The stretch without blanks at its edges; None if it is nothing else."""
        piece = self.text[start:end]
        kept = piece.strip()
        if not kept:
            return None
        first = start + len(piece) - len(piece.lstrip())
        return first, first + len(kept)

    def parts(self, start: int, end: int, budget: int) -> list[tuple[int, int]]:
        """The stretch, in as many trimmed parts as it takes for each to cost at most ``budget``.

        Halved again and again: at the line break next to the middle, else at a blank, else between tokens.
        """
        return [(start, end)] if self.cost(start, end) <= budget else self._halves(start, end, budget)

    def _halves(self, start: int, end: int, budget: int) -> list[tuple[int, int]]:
        cut = self._middle(start, end)
        sides = (self.trimmed(start, cut), self.trimmed(cut, end))
        return [part for side in sides if side for part in self._parts_of_half(*side, budget)]

    def _parts_of_half(self, start: int, end: int, budget: int) -> list[tuple[int, int]]:
        """A half may begin inside a word and then has other tokens than the document: it is counted anew."""
        alone = len(self._tokenizer.spans(self.text[start:end]))
        if max(alone, self.cost(start, end)) <= budget or end - start == 1:
            return [(start, end)]
        return self._halves(start, end, budget)

    def _middle(self, start: int, end: int) -> int:
        """An offset inside the stretch, in its second or third quarter where possible."""
        low, middle, high = (self._quantile(start, end, share) for share in (0.25, 0.5, 0.75))
        for border in ("\n", " "):
            before, after = self.text.rfind(border, low, middle), self.text.find(border, middle, high)
            if near := [at for at in (before, after) if start < at < end]:
                return min(near, key=lambda at: abs(at - middle))
        return middle if start < middle < end else (start + end) // 2

    def _quantile(self, start: int, end: int, share: float) -> int:
        """Where the token begins that has ``share`` of the stretch's tokens before it."""
        first, last = bisect_left(self._starts, start), bisect_left(self._starts, end)
        return self._starts[first + int((last - first) * share)] if first < last else start
