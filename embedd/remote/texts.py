"""What is sent to a model elsewhere that reads texts: whole where they fit, else cut here, so that it can be
told.

Stands where a model's own tokenizer stands otherwise. Knows measures; neither servers nor requests. A cut is
made between tokens, and the rest is measured again, since its last word may have become other tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedd.encoding import Encoding, Room, Token, Truncate, refuse_invalid
from embedd.errors import InvalidInput
from embedd.remote.measures import Measure
from embedd.stretches import end_of

_PAIR_SPECIALS = 4
"""The most that a tokenizer of the field puts around and between two texts."""

_CHARACTERS_PER_TOKEN = 32
"""So much of a text that is far too long is read."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """``text`` of ``kept`` tokens; before it was cut it had ``total``, at least where not ``exact``."""

    text: str
    kept: int
    total: int
    exact: bool = True


class TextsAsRead:
    """The ``TextTokenizer`` of such a model."""

    def __init__(self, measure: Measure) -> None:
        self._measure = measure

    @property
    def here(self) -> bool:
        return self._measure.here

    @property
    def special_tokens(self) -> int:
        return self._measure.special_tokens

    @property
    def vocab_size(self) -> int:
        return self._measure.vocab_size

    def encode(
        self, texts: Sequence[str], max_tokens: int, truncate: Truncate, *, first_index: int = 0
    ) -> list[Encoding]:
        refuse_invalid(texts, first_index)
        specials = self.special_tokens
        known = self._measure.estimate(texts, max_tokens - specials)
        cuts = [
            _Cut(text, count, count)
            if count is not None
            else self._cut(text, max_tokens - specials, truncate)
            for text, count in zip(texts, known, strict=True)
        ]
        for index, cut in enumerate(cuts, first_index):
            _refuse(cut.total + specials, cut.exact, Room(max_tokens, truncate), index)
        return [_encoding(cut.kept + specials, cut.total + specials, cut.exact, (cut.text,)) for cut in cuts]

    def encode_pairs(
        self, query: str, texts: Sequence[str], max_tokens: int, truncate: Truncate, *, first_index: int = 0
    ) -> list[Encoding]:
        refuse_invalid([query], first_index)
        refuse_invalid(texts, first_index)
        space = max_tokens - _PAIR_SPECIALS
        asked = self._whole(query, space, truncate)
        known = self._measure.estimate(texts, max(0, space - asked.kept))
        cuts = [
            self._whole(text, space, truncate) if count is None else _Cut(text, count, count)
            for text, count in zip(texts, known, strict=True)
        ]
        room = Room(max_tokens, truncate)
        return [self._pair(asked, cut, room, index) for index, cut in enumerate(cuts, first_index)]

    def encode_ids(
        self,
        inputs: Sequence[Sequence[int]],
        max_tokens: int,
        truncate: Truncate,
        *,
        prompt: str = "",
        first_index: int = 0,
    ) -> list[Encoding]:
        texts = [prompt + self._measure.decode(ids, skip_special=True) for ids in inputs]
        return self.encode(texts, max_tokens, truncate, first_index=first_index)

    def details(self, text: str, *, special: bool = True) -> list[Token]:
        return self._measure.details(text, special=special)

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        return self._measure.decode(ids, skip_special=skip_special)

    def spans(self, text: str) -> npt.NDArray[np.int32]:
        return self._measure.spans(text)

    def count(self, texts: Sequence[str]) -> list[int]:
        return self._measure.count(texts)

    def _whole(self, text: str, room: int, truncate: Truncate) -> _Cut:
        """The text with its length, cut only if it takes more than all of ``room``."""
        (count,) = self._measure.estimate([text], room)
        return self._cut(text, room, truncate) if count is None else _Cut(text, count, count)

    def _pair(self, first: _Cut, second: _Cut, room: Room, index: int) -> Encoding:
        """As ``Frame.around_both``: the text is cut, yet never to less than half of the room."""
        truncate, space = room.truncate, room.max_tokens - _PAIR_SPECIALS
        total = first.total + second.total + _PAIR_SPECIALS
        exact = first.exact and second.exact
        _refuse(total, exact, room, index)
        first = self._within(first, max(space - second.kept, space - space // 2), truncate)
        second = self._within(second, space - first.kept, truncate)
        return _encoding(first.kept + second.kept + _PAIR_SPECIALS, total, exact, (first.text, second.text))

    def _within(self, cut: _Cut, room: int, truncate: Truncate) -> _Cut:
        return cut if cut.kept <= room else self._cut(cut.text, room, truncate)

    def _cut(self, text: str, room: int, truncate: Truncate) -> _Cut:
        """As much of the end that is kept as has ``room`` tokens."""
        read = end_of(text, _CHARACTERS_PER_TOKEN * max(room, 1), truncate)
        spans = self._measure.spans(read)
        total, exact = len(spans), len(read) == len(text)
        if total <= room and exact:
            return _Cut(text, total, total)
        kept = min(room, total)
        while kept > 0:
            piece = read[spans[-kept][0] :] if truncate == "start" else read[: spans[kept - 1][1]]
            length = len(self._measure.spans(piece))
            if length <= room:
                return _Cut(piece, length, total, exact)
            kept -= max(1, length - room)
        raise InvalidInput(f"a text has no beginning that fits into {room} tokens")


def _encoding(kept: int, total: int, exact: bool, texts: tuple[str, ...]) -> Encoding:
    """With as many ids as there are tokens, which are no others."""
    return Encoding(np.zeros(kept, dtype=np.int32), max(total, kept), exact=exact, texts=texts)


def _refuse(total: int, exact: bool, room: Room, index: int) -> None:
    if room.truncate == "none" and (total > room.max_tokens or not exact):
        number = total if exact else f"at least {total}"
        raise InvalidInput(f"input {index} has {number} tokens, the model takes {room.max_tokens}")
