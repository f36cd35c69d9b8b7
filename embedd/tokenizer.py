"""Text to token ids and token positions and back, with the ``tokenizers`` library and without torch.

Knows a model's ``tokenizer.json`` and nothing of its weights. A text is never cut by the library itself:
the cut is made here, so that it can be told and nothing is lost in silence. Of a text that is far too long
only the end that is kept is read, so that a megabyte costs about as much as a text that just fits.

Invariant: the library's object is used by one thread only. ``Tokenizer`` makes one copy for every
thread that calls it (about 15 ms and 6 MB each for a vocabulary of 30,000).
"""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import tokenizers

from embedd.encoding import Encoding, Room, Token, Tokens, Truncate, refuse_invalid, refuse_unknown
from embedd.errors import ModelLoadError
from embedd.stretches import STRETCH, end_of, groups, stretches
from embedd.tokenizer_file import TokenizerFile, build, pair_frame, single_frame, vocab_size

__all__ = ["Encoding", "TextTokenizer", "Tokenizer", "Truncate", "read_tokenizer"]

_READ_WHOLE = 16
"""Characters per token of room up to which a text is read whole and its length told exactly."""

_READ_FIRST = (8, 32, 128)
"""Characters per token of room that are read of a longer text, more only where they hold too few tokens.
Prose has 4 to 6; what has less than one token in 128 characters is blanks or a blob, and is read no further.
"""

_MARGIN = 16
"""Tokens at the border of what was read that are not kept: with the rest of the text they might be others."""


class TextTokenizer(Protocol):
    """What a model's tokenizer does; safe to call from any thread, but one that is not ``here`` asks a server
    and must not be called on the event loop.

    Wherever texts are read, one that is no valid Unicode raises ``InvalidInput`` with its index, counted
    from ``first_index``.
    """

    @property
    def here(self) -> bool:
        """Whether it answers without asking anybody."""

    @property
    def special_tokens(self) -> int:
        """How many tokens are put around one text (2 for ``[CLS] .. [SEP]``)."""

    @property
    def vocab_size(self) -> int:
        """Token ids are below this."""

    def encode(
        self, texts: Sequence[str], max_tokens: int, truncate: Truncate, *, first_index: int = 0
    ) -> list[Encoding]:
        """One encoding per text, each of at most ``max_tokens`` with its special tokens.

        Raises:
            InvalidInput: a text is too long and ``truncate`` is ``none``.
        """

    def encode_pairs(
        self, query: str, texts: Sequence[str], max_tokens: int, truncate: Truncate, *, first_index: int = 0
    ) -> list[Encoding]:
        """One encoding per text, with ``query`` as its first segment. Of a pair that is too long the text is
        cut, yet never to less than half of the room: only a longer query than that is cut, too.

        Raises:
            InvalidInput: a pair is too long and ``truncate`` is ``none``.
        """

    def encode_ids(
        self,
        inputs: Sequence[Sequence[int]],
        max_tokens: int,
        truncate: Truncate,
        *,
        prompt: str = "",
        first_index: int = 0,
    ) -> list[Encoding]:
        """One encoding per input that a client has tokenised itself, with this model's tokenizer.

        The special tokens that an input begins or ends with are taken for those around it and those that are
        missing are added; the tokens of ``prompt`` come first.

        Raises:
            InvalidInput: an id is not in the vocabulary; an input is empty, or too long for ``none``.
        """

    def details(self, text: str, *, special: bool = True) -> list[Token]:
        """The tokens of ``text`` in order, without a cut; those around it only if ``special``."""

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """The text that ``ids`` stand for.

        Raises:
            InvalidInput: an id is not in the vocabulary.
        """

    def spans(self, text: str) -> npt.NDArray[np.int32]:
        """The code-point offsets (n, 2) of every token of ``text``, without specials or a cut."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, without specials or a cut."""


class Tokenizer:
    """The tokenizer of a model, as its ``tokenizer.json`` describes it; ``embedded``: how many ids the model
    has vectors for, where that may be fewer than the tokenizer makes.
    """

    def __init__(
        self,
        description: str,
        *,
        lowercase: bool = False,
        segments: bool = True,
        embedded: int | None = None,
    ) -> None:
        self.file = TokenizerFile(description, lowercase, segments, embedded)
        self._copies = threading.local()
        self._single = single_frame(self._copy())
        self._pair = pair_frame(self._copy(), segments=segments)
        size = vocab_size(self._copy())
        self.vocab_size = size if embedded is None else min(size, embedded)

    @property
    def here(self) -> bool:
        return True

    @property
    def special_tokens(self) -> int:
        return self._single.size

    def encode(
        self, texts: Sequence[str], max_tokens: int, truncate: Truncate, *, first_index: int = 0
    ) -> list[Encoding]:
        room = Room(max_tokens, truncate)
        read = self._read(texts, room, first_index)
        return [self._single.around(tokens, room, index) for index, tokens in enumerate(read, first_index)]

    def encode_pairs(
        self, query: str, texts: Sequence[str], max_tokens: int, truncate: Truncate, *, first_index: int = 0
    ) -> list[Encoding]:
        room = Room(max_tokens, truncate)
        (first,) = self._read([query], room, first_index)
        read = self._read(texts, room, first_index)
        return [
            self._pair.around_both(first, second, room, index)
            for index, second in enumerate(read, first_index)
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
        room = Room(max_tokens, truncate)
        start = self._tokenise([prompt])[0] if prompt else []
        encodings = []
        for index, ids in enumerate(inputs, first_index):
            refuse_unknown(ids, self.vocab_size, index)
            encodings.append(self._single.around(Tokens([*start, *self._single.stripped(ids)]), room, index))
        return encodings

    def details(self, text: str, *, special: bool = True) -> list[Token]:
        refuse_invalid([text], 0)
        tokens = [token for start, piece in stretches(text) for token in self._details(piece, start)]
        if not special:
            return tokens
        return [*self._named(self._single.head), *tokens, *self._named(self._single.tail)]

    def _details(self, piece: str, start: int) -> Iterator[Token]:
        found = self._copy().encode(piece, add_special_tokens=False)
        for number, (first, last) in zip(found.ids, found.offsets, strict=True):
            yield Token(number, piece[first:last], special=False, start=start + first, stop=start + last)

    def _named(self, ids: Sequence[int]) -> list[Token]:
        return [
            Token(one, self._copy().id_to_token(one) or "", special=True, start=None, stop=None)
            for one in ids
        ]

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        refuse_unknown(ids, self.vocab_size, 0)
        return str(self._copy().decode(list(ids), skip_special_tokens=skip_special))

    def spans(self, text: str) -> npt.NDArray[np.int32]:
        refuse_invalid([text], 0)
        return np.concatenate([self._spans(piece) + start for start, piece in stretches(text)])

    def _spans(self, text: str) -> npt.NDArray[np.int32]:
        offsets = self._copy().encode(text, add_special_tokens=False).offsets
        return np.asarray(offsets, dtype=np.int32).reshape(-1, 2)

    def count(self, texts: Sequence[str]) -> list[int]:
        refuse_invalid(texts, 0)
        return [len(ids) for ids in self._tokenise(texts)]

    def _read(self, texts: Sequence[str], room: Room, first_index: int) -> list[Tokens]:
        """The tokens of each text, or those of one end of it where that is known to be enough."""
        refuse_invalid(texts, first_index)
        whole, first = _READ_WHOLE * room.max_tokens, _READ_FIRST[0] * room.max_tokens
        ends = [text if len(text) <= whole else end_of(text, first, room.truncate) for text in texts]
        return [
            Tokens(ids) if len(end) == len(text) else self._read_on(text, ids, room)
            for text, end, ids in zip(texts, ends, self._tokenise(ends), strict=True)
        ]

    def _read_on(self, text: str, ids: list[int], room: Room) -> Tokens:
        """Enough tokens of one end of ``text``; its first characters hold ``ids``."""
        for characters in _READ_FIRST[1:]:
            if len(ids) >= room.max_tokens + _MARGIN:
                return Tokens(ids, exact=False)
            end = end_of(text, characters * room.max_tokens, room.truncate)
            (ids,) = self._tokenise([end])
            if len(end) == len(text):
                return Tokens(ids)
        if room.truncate == "none" and len(ids) <= room.max_tokens:
            return Tokens(self._tokenise([text])[0])
        return Tokens(ids, exact=False)

    def _tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, whole and without specials."""
        return [ids for group in groups(texts) for ids in self._tokenise_group(group)]

    def _tokenise_group(self, texts: Sequence[str]) -> list[list[int]]:
        if len(texts) == 1 and len(texts[0]) > STRETCH:
            pieces = (self._tokenise_group([piece])[0] for _, piece in stretches(texts[0]))
            return [[one for ids in pieces for one in ids]]
        found = self._copy().encode_batch_fast(list(texts), add_special_tokens=False)
        return [one.ids for one in found]

    def _copy(self) -> tokenizers.Tokenizer:
        """This thread's own copy."""
        copy: tokenizers.Tokenizer | None = getattr(self._copies, "tokenizer", None)
        if copy is None:
            copy = self._copies.tokenizer = build(self.file.description, lowercase=self.file.lowercase)
        return copy


def read_tokenizer(
    folder: Path, *, lowercase: bool = False, segments: bool = True, embedded: int | None = None
) -> Tokenizer:
    """The tokenizer in ``folder``; ``segments``: whether the model is told the texts of a pair apart, and
    ``embedded``: how many ids it has vectors for.

    Raises:
        ModelLoadError: there is no usable ``tokenizer.json``.
    """
    path = folder / "tokenizer.json"
    if not path.exists():
        raise ModelLoadError(
            f"{path} is missing. From the vocabulary in another form that the model may have, transformers "
            f"makes it: AutoTokenizer.from_pretrained({str(folder)!r}).save_pretrained({str(folder)!r})"
        )
    try:
        description = path.read_text(encoding="utf-8")
        return Tokenizer(description, lowercase=lowercase, segments=segments, embedded=embedded)
    except Exception as error:  # the library raises plain Exception for what it cannot read
        raise ModelLoadError(f"{path} cannot be used as a tokenizer: {error}") from error
