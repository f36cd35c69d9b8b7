"""Text to token ids and token positions, with the ``tokenizers`` library and without torch.

Knows a model's ``tokenizer.json`` and nothing of its weights. A text is never cut by the library itself:
the cut is made here, so that the true length is always known and nothing is lost in silence. Long texts
are tokenised stretch by stretch, because the library's own memory is 160 times what it reads.

Invariant: the library's object is used by one thread only. ``Tokenizer`` makes one copy for every
thread that calls it (about 15 ms and 6 MB each for a vocabulary of 30,000).
"""

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import tokenizers
from tokenizers import normalizers

from embedd.errors import InvalidInput, ModelLoadError

_STRETCH = 2**16
"""Characters given to the library at once: it takes up to 160 bytes of memory for each."""

Truncate = Literal["none", "start", "end"]
"""Which end of a too long text is given up; ``none`` refuses it."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """``ids`` (n,) with the special tokens, after the cut; ``total`` is the length before it.

    ``second``: where the second segment of a pair begins; -1 for a single text.
    """

    ids: npt.NDArray[np.int32]
    total: int
    second: int = -1


class TextTokenizer(Protocol):
    """What a model's tokenizer does; safe to call from any thread."""

    @property
    def special_tokens(self) -> int:
        """How many tokens are put around one text (2 for ``[CLS] .. [SEP]``)."""

    def encode(
        self, texts: Sequence[str], max_tokens: int, truncate: Truncate, *, first_index: int = 0
    ) -> list[Encoding]:
        """One encoding per text, each of at most ``max_tokens`` with its special tokens.

        Raises:
            InvalidInput: a text is too long and ``truncate`` is ``none``, or is no valid Unicode; the
                message names its index, counted from ``first_index``.
        """

    def spans(self, text: str) -> npt.NDArray[np.int32]:
        """The code-point offsets (n, 2) of every token of ``text``, without specials or a cut."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, without specials or a cut."""


class Tokenizer:
    """The tokenizer of a model, as its ``tokenizer.json`` describes it."""

    def __init__(self, description: str, *, lowercase: bool = False) -> None:
        self._description = description
        self._lowercase = lowercase
        self._copies = threading.local()
        mask = self._copy().encode("a").special_tokens_mask
        self._head = _leading(mask)
        self._tail = _leading(mask[::-1])

    @property
    def special_tokens(self) -> int:
        return self._head + self._tail

    def encode(
        self, texts: Sequence[str], max_tokens: int, truncate: Truncate, *, first_index: int = 0
    ) -> list[Encoding]:
        encoded = self._encode_all(texts, first_index)
        if truncate == "none":
            refuse_long([len(ids) for ids in encoded], max_tokens, first_index)
        return [Encoding(self._cut(ids, max_tokens, truncate), len(ids)) for ids in encoded]

    def spans(self, text: str) -> npt.NDArray[np.int32]:
        return np.concatenate([self._spans(piece) + start for start, piece in _stretches(text)])

    def _spans(self, text: str) -> npt.NDArray[np.int32]:
        offsets = self._copy().encode(text, add_special_tokens=False).offsets
        return np.asarray(offsets, dtype=np.int32).reshape(-1, 2)

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(ids) - self.special_tokens for ids in self._encode_all(texts)]

    def _encode_all(self, texts: Sequence[str], first_index: int = 0) -> list[npt.NDArray[np.int32]]:
        """The ids (n,) of each text with its special tokens."""
        try:
            return [ids for group in _groups(texts) for ids in self._encode_group(group)]
        except (UnicodeError, TypeError):
            _name_the_invalid(texts, first_index)
            raise

    def _encode_group(self, texts: Sequence[str]) -> list[npt.NDArray[np.int32]]:
        if len(texts[0]) > _STRETCH:
            return [self._encode_long(text) for text in texts]
        return [np.array(one.ids, dtype=np.int32) for one in self._copy().encode_batch_fast(list(texts))]

    def _encode_long(self, text: str) -> npt.NDArray[np.int32]:
        """The ids of the stretches one behind the other, with the special tokens around all of them."""
        parts = [self._encode_group([piece])[0] for _, piece in _stretches(text)]
        bodies = [ids[self._head : len(ids) - self._tail] for ids in parts]
        return np.concatenate((parts[0][: self._head], *bodies, parts[-1][len(parts[-1]) - self._tail :]))

    def _cut(self, ids: npt.NDArray[np.int32], max_tokens: int, truncate: Truncate) -> npt.NDArray[np.int32]:
        if len(ids) <= max_tokens:
            return ids
        if truncate == "end":
            return np.concatenate((ids[: max_tokens - self._tail], ids[len(ids) - self._tail :]))
        return np.concatenate((ids[: self._head], ids[len(ids) - max_tokens + self._head :]))

    def _copy(self) -> tokenizers.Tokenizer:
        """This thread's own copy."""
        copy: tokenizers.Tokenizer | None = getattr(self._copies, "tokenizer", None)
        if copy is None:
            copy = self._copies.tokenizer = _build(self._description, lowercase=self._lowercase)
        return copy


def read_tokenizer(folder: Path, *, lowercase: bool = False) -> Tokenizer:
    """The tokenizer in ``folder``.

    Raises:
        ModelLoadError: there is no usable ``tokenizer.json``.
    """
    path = folder / "tokenizer.json"
    try:
        return Tokenizer(path.read_text(encoding="utf-8"), lowercase=lowercase)
    except Exception as error:  # the library raises plain Exception for what it cannot read
        raise ModelLoadError(f"{path} cannot be used as a tokenizer: {error}") from error


def refuse_long(totals: Sequence[int], max_tokens: int, first_index: int) -> None:
    """Raises ``InvalidInput`` for the first text of more than ``max_tokens``."""
    for index, total in enumerate(totals, first_index):
        if total > max_tokens:
            raise InvalidInput(f"input {index} has {total} tokens, the model takes {max_tokens}")


def _groups(texts: Sequence[str]) -> Iterator[list[str]]:
    """Neighbouring texts that have a stretch's length together; a longer one comes alone."""
    group: list[str] = []
    size = 0
    for text in texts:
        if group and size + len(text) > _STRETCH:
            yield group
            group, size = [], 0
        group.append(text)
        size += len(text)
    if group:
        yield group


def _stretches(text: str) -> Iterator[tuple[int, str]]:
    """The text in pieces with their offsets, cut in front of a blank where there is one. No token of a model
    that splits words at blanks changes by it; others may have one more at a cut.
    """
    start = 0
    while len(text) - start > _STRETCH:
        middle, end = start + _STRETCH // 2, start + _STRETCH
        cut = max(text.rfind("\n", middle, end), text.rfind(" ", middle, end))
        end = cut if cut > 0 else end
        yield start, text[start:end]
        start = end
    yield start, text[start:]


def _build(description: str, *, lowercase: bool) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer.from_str(description)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if lowercase and "Lowercase" not in description and not _lowercases(description):
        steps = [normalizers.Lowercase(), tokenizer.normalizer]
        tokenizer.normalizer = normalizers.Sequence([step for step in steps if step is not None])
    return tokenizer


def _lowercases(description: str) -> bool:
    normalizer = json.loads(description).get("normalizer") or {}
    return bool(normalizer.get("lowercase"))


def _leading(mask: Sequence[int]) -> int:
    """How many special tokens a mask begins with."""
    return next((count for count, special in enumerate(mask) if not special), len(mask))


def _name_the_invalid(texts: Sequence[str], first_index: int) -> None:
    for index, text in enumerate(texts, first_index):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(f"input {index} is no valid Unicode: {error.reason}") from error
