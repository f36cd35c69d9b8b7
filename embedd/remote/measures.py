"""How long texts are to a model elsewhere that reads texts: by its tokenizer here, by its server, or at the
most.

A measure that is not ``here`` asks a server and blocks, so it is for threads alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from embedd.encoding import Token, refuse_invalid
from embedd.errors import InvalidInput, ModelUnavailable
from embedd.stretches import groups, stretches
from embedd.tokenizer import Tokenizer

T = TypeVar("T")

_MOST_SPECIALS = 2


class Measure(Protocol):
    """Lengths and places of tokens, without specials; ``estimate`` may be less exact to ask nobody."""

    @property
    def here(self) -> bool: ...
    @property
    def special_tokens(self) -> int: ...
    @property
    def vocab_size(self) -> int: ...
    def spans(self, text: str) -> npt.NDArray[np.int32]: ...
    def count(self, texts: Sequence[str]) -> list[int]: ...
    def estimate(self, texts: Sequence[str], room: int) -> list[int | None]:
        """The tokens of each text that fits into ``room``; None for those that do not, or may not."""

    def details(self, text: str, *, special: bool) -> list[Token]: ...
    def decode(self, ids: Sequence[int], *, skip_special: bool) -> str: ...


class BytesAsTokens:
    """A byte of UTF-8 counts as a token. No tokenizer of the field makes more of a text, most a quarter of
    it: what fits so fits in any case, and nothing is cut unseen.
    """

    here = True
    special_tokens = _MOST_SPECIALS
    vocab_size = 256

    def spans(self, text: str) -> npt.NDArray[np.int32]:
        refuse_invalid([text], 0)
        starts = np.repeat(np.arange(len(text), dtype=np.int32), [len(letter.encode()) for letter in text])
        return np.stack([starts, starts + 1], axis=1)

    def count(self, texts: Sequence[str]) -> list[int]:
        refuse_invalid(texts, 0)
        return [len(text.encode()) for text in texts]

    def estimate(self, texts: Sequence[str], room: int) -> list[int | None]:
        return [size if size <= room else None for size in self.count(texts)]

    def details(self, text: str, *, special: bool) -> list[Token]:  # noqa: ARG002 - there are none
        raise InvalidInput(_UNKNOWN)

    def decode(self, ids: Sequence[int], *, skip_special: bool) -> str:  # noqa: ARG002
        raise InvalidInput(_UNKNOWN)


_UNKNOWN = (
    "the tokens of this model are not known: its server does not tell them, and the settings name no "
    "tokenizer (#tokenizer=<folder or hub id> behind its address); send texts"
)


class NamedTokenizer:
    """The model's own tokenizer, read from files here."""

    here = True

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    @property
    def special_tokens(self) -> int:
        return self._tokenizer.special_tokens

    @property
    def vocab_size(self) -> int:
        return self._tokenizer.vocab_size

    def spans(self, text: str) -> npt.NDArray[np.int32]:
        return self._tokenizer.spans(text)

    def count(self, texts: Sequence[str]) -> list[int]:
        return self._tokenizer.count(texts)

    def estimate(self, texts: Sequence[str], room: int) -> list[int | None]:
        """Exact for all that could fit; what is far too long is not even read."""
        short = [text for text in texts if len(text) <= _READ * room]
        return _fitting(texts, dict(zip(short, self.count(short), strict=True)), room)

    def details(self, text: str, *, special: bool) -> list[Token]:
        return self._tokenizer.details(text, special=special)

    def decode(self, ids: Sequence[int], *, skip_special: bool) -> str:
        return self._tokenizer.decode(ids, skip_special=skip_special)


_READ = 32
"""Characters for each token of room up to which a text is read whole."""


def _fitting(texts: Sequence[str], counts: Mapping[str, int], room: int) -> list[int | None]:
    found = [counts.get(text) for text in texts]
    return [count if count is not None and count <= room else None for count in found]


class TokensByServer:
    """The server's own tokenizer, asked over ``ask`` from threads; ``close`` ends whoever waits for it."""

    here = False
    special_tokens = _MOST_SPECIALS
    vocab_size = 2**31

    def __init__(
        self,
        tokenize: Callable[[Sequence[str], bool], Awaitable[list[list[Token]]]],
        decode: Callable[[Sequence[int], bool], Awaitable[str]],
        timeout_s: float,
    ) -> None:
        self._tokenize = tokenize
        self._decode = decode
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._asked: set[Future[Any]] = set()
        self._closed = False

    def close(self) -> None:
        """Nobody waits any more, nor ever again: the loop that would answer is about to wait for the
        threads.
        """
        self._closed = True
        for future in tuple(self._asked):
            future.cancel()

    def spans(self, text: str) -> npt.NDArray[np.int32]:
        refuse_invalid([text], 0)
        places = [
            (start + token.start, start + token.stop)
            for start, piece in stretches(text)
            if piece
            for token in self._wait(self._of([piece], special=False))[0]
            if token.start is not None and token.stop is not None
        ]
        return np.array(places, dtype=np.int32).reshape(-1, 2)

    def count(self, texts: Sequence[str]) -> list[int]:
        refuse_invalid(texts, 0)
        found: list[int] = []
        for group in groups(texts):
            if len(group) == 1:
                found.append(len(self.spans(group[0])))
            else:
                found += map(len, self._wait(self._of(group, special=False)))
        return found

    def estimate(self, texts: Sequence[str], room: int) -> list[int | None]:
        """About four bytes a token where even one a byte would fit; of the others those that could fit are
        tokenized.
        """
        sizes = {text: len(text.encode()) for text in texts}
        surely = {text: -(-size // 4) for text, size in sizes.items() if size <= room}
        perhaps = [text for text in sizes if text not in surely and len(text) <= _READ * room]
        return _fitting(texts, surely | dict(zip(perhaps, self.count(perhaps), strict=True)), room)

    def details(self, text: str, *, special: bool) -> list[Token]:
        refuse_invalid([text], 0)
        return self._wait(self._of([text], special=special))[0]

    def decode(self, ids: Sequence[int], *, skip_special: bool) -> str:
        async def ask() -> str:
            return await self._decode(ids, skip_special)

        return self._wait(ask())

    async def _of(self, texts: Sequence[str], *, special: bool) -> list[list[Token]]:
        return await self._tokenize(texts, special)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        if self._closed:
            work.close()
            raise ModelUnavailable("the model is being shut down", retry_after_s=1.0)
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        self._asked.add(future)
        try:
            return future.result(self._timeout_s)
        except TimeoutError as error:
            future.cancel()
            raise ModelUnavailable("the server did not tokenize in time", retry_after_s=1.0) from error
        except CancelledError as error:
            raise ModelUnavailable("the model is being shut down", retry_after_s=1.0) from error
        finally:
            self._asked.discard(future)
