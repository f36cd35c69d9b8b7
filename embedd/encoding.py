"""Token ids as a model reads them: with its special tokens around one text, around a pair, and cut to fit.

Pure: knows no words and no tokenizer. Invariant: what is cut is counted, so that it can be told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from embedd.errors import InvalidInput

Truncate = Literal["none", "start", "end"]
"""Which end of a too long text is given up; ``none`` refuses it."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token as people see it: ``text[start:stop]`` in code points, or the name of a special one, which
    stands nowhere in the text.
    """

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


@dataclass(frozen=True, slots=True)
class Encoding:
    """``ids`` (n,) with the special tokens, after the cut; ``total`` is the length before it.

    ``second``: where the second segment of a pair begins; -1 for a single text, and for models that do not
    tell segments apart. Where ``exact`` is false, the text was so long that only one end of it was read: it
    has at least ``total`` tokens. ``texts`` (one, or the two of a pair) are what a model elsewhere reads
    that makes tokens itself; ``ids`` are then no more than as many.
    """

    ids: npt.NDArray[np.int32]
    total: int
    second: int = -1
    exact: bool = True
    texts: tuple[str, ...] = ()

    @property
    def cut(self) -> bool:
        """Whether the model sees only a part of the text."""
        return self.total > len(self.ids) or not self.exact


@dataclass(frozen=True, slots=True)
class Tokens:
    """The token ids of a text, without specials; those of one end of it where ``exact`` is false."""

    ids: Sequence[int]
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Room:
    """What an input may have: ``max_tokens`` with its specials; more is refused or cut by ``truncate``."""

    max_tokens: int
    truncate: Truncate


@dataclass(frozen=True, slots=True)
class Frame:
    """The special tokens of a model: ``head text tail``, or ``head first between second tail``.

    ``segment``: with which token of ``between`` the second segment begins, its length for the token after
    it; -1 where the model does not tell segments apart.
    """

    head: tuple[int, ...] = ()
    tail: tuple[int, ...] = ()
    between: tuple[int, ...] = ()
    segment: int = -1

    @property
    def size(self) -> int:
        return len(self.head) + len(self.between) + len(self.tail)

    def around(self, text: Tokens, room: Room, index: int) -> Encoding:
        """``text`` as input ``index`` of a request.

        Raises:
            InvalidInput: it is too long and may not be cut, or there is nothing in it for the model to read.
        """
        total = len(text.ids) + self.size
        _refuse_too_long(total, text.exact, room, index)
        kept = _cut(text.ids, room.max_tokens - self.size, room.truncate)
        ids = [*self.head, *kept, *self.tail]
        if not ids:
            raise InvalidInput(f"input {index} has no tokens")
        return Encoding(np.array(ids, dtype=np.int32), total, exact=text.exact)

    def around_both(self, first: Tokens, second: Tokens, room: Room, index: int) -> Encoding:
        """The pair as input ``index`` of a request.

        Of a pair that is too long the second text is cut, yet never to less than half of the room: only a
        first text of more than the other half loses tokens, too.

        Raises:
            InvalidInput: the pair is too long and may not be cut.
        """
        exact = first.exact and second.exact
        total = len(first.ids) + len(second.ids) + self.size
        _refuse_too_long(total, exact, room, index)
        space = room.max_tokens - self.size
        left = _cut(first.ids, max(space - len(second.ids), space - space // 2), room.truncate)
        right = _cut(second.ids, space - len(left), room.truncate)
        ids = np.array([*self.head, *left, *self.between, *right, *self.tail], dtype=np.int32)
        begins = -1 if self.segment < 0 else len(self.head) + len(left) + self.segment
        return Encoding(ids, total, begins, exact)

    def stripped(self, ids: Sequence[int]) -> list[int]:
        """``ids`` without the head they begin with and the tail they end with; either may be missing."""
        bare = list(ids)
        if self.head and tuple(bare[: len(self.head)]) == self.head:
            del bare[: len(self.head)]
        if self.tail and tuple(bare[-len(self.tail) :]) == self.tail:
            del bare[-len(self.tail) :]
        return bare


def refuse_unknown(ids: Sequence[int], vocab_size: int, index: int) -> None:
    """Raises ``InvalidInput`` unless all ``ids`` of input ``index`` are in a vocabulary of that size."""
    unknown = next((one for one in ids if not 0 <= one < vocab_size), None)
    if unknown is not None:
        raise InvalidInput(
            f"input {index} has the token id {unknown}, the model knows 0 to {vocab_size - 1}: ids must be "
            "its own; send text instead (with LangChain: check_embedding_ctx_length=False)"
        )


def refuse_empty(inputs: Sequence[str | Sequence[int]]) -> None:
    """Raises ``InvalidInput`` for the first input that has no ids, or no more than blanks."""
    for index, one in enumerate(inputs):
        if not one or (isinstance(one, str) and one.isspace()):
            raise InvalidInput(f"input {index} is empty")


def refuse_invalid(texts: Sequence[str], first_index: int) -> None:
    """Raises ``InvalidInput`` for the first of ``texts`` with half a surrogate pair in it."""
    for index, text in enumerate(texts, first_index):
        try:
            text.isascii() or text.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(f"input {index} is no valid Unicode: {error.reason}") from error


def _refuse_too_long(total: int, exact: bool, room: Room, index: int) -> None:
    if room.truncate == "none" and total > room.max_tokens:
        number = total if exact else f"at least {total}"
        raise InvalidInput(f"input {index} has {number} tokens, the model takes {room.max_tokens}")


def _cut(ids: Sequence[int], room: int, truncate: Truncate) -> Sequence[int]:
    if len(ids) <= room:
        return ids
    return ids[len(ids) - room :] if truncate == "start" else ids[:room]
