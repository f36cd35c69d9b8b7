"""Texts to a model's tokens and back, for people who count them: bounded, and never on the loop for long."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from api.errors import PayloadTooLarge
from embedd.encoding import Token, refuse_unknown
from embedd.tokenizer import TextTokenizer

_MOST_CHARACTERS = 2**18
"""Of all texts of a request: every token comes back as an object of some sixty bytes."""

_MOST_IDS = 2**18

_INLINE = 2_000
"""Characters or ids that take less time than handing them to a thread."""

T = TypeVar("T")


async def tokenize(
    tokenizer: TextTokenizer, texts: Sequence[str], *, special: bool, param: str
) -> list[list[Token]]:
    """The tokens of each text, with the special ones around it if ``special``.

    Raises:
        PayloadTooLarge: the texts are too long together.
        InvalidInput: one is no valid Unicode.
    """
    size = sum(map(len, texts))
    _refuse_large(size, _MOST_CHARACTERS, param, "characters")
    return await _run(tokenizer, size, lambda: [tokenizer.details(text, special=special) for text in texts])


async def detokenize(
    tokenizer: TextTokenizer, lists: Sequence[Sequence[int]], *, skip_special: bool, param: str
) -> list[str]:
    """The text of each list of token ids.

    Raises:
        PayloadTooLarge: there are too many ids together.
        InvalidInput: one is not in the vocabulary.
    """
    size = sum(map(len, lists))
    _refuse_large(size, _MOST_IDS, param, "token ids")
    return await _run(
        tokenizer, size, lambda: [_text(tokenizer, ids, n, skip_special) for n, ids in enumerate(lists)]
    )


def _text(tokenizer: TextTokenizer, ids: Sequence[int], index: int, skip_special: bool) -> str:
    refuse_unknown(ids, tokenizer.vocab_size, index)
    return tokenizer.decode(ids, skip_special=skip_special)


async def _run(tokenizer: TextTokenizer, size: int, work: Callable[[], T]) -> T:
    return work() if size <= _INLINE and tokenizer.here else await asyncio.to_thread(work)


def _refuse_large(size: int, limit: int, param: str, what: str) -> None:
    if size > limit:
        raise PayloadTooLarge(
            f"`{param}` has {size} {what} together, the limit is {limit}: send less at once", param=param
        )
