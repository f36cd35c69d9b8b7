"""text-embeddings-inference's own dialect: ``/info``, ``/embed``, ``/rerank``, ``/tokenize``, ``/decode``.

It is asked to refuse what is too long, never to cut: cuts are made here, where they are told.
"""

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from embedd.encoding import Token
from embedd.errors import ModelLoadError, UpstreamFailed
from embedd.remote.http import Asker
from embedd.remote.peers import Facts, Numbers
from embedd.remote.probes import PROBE_PAIR, PROBE_TEXT
from embedd.specs import ModelKind

_MOST_INPUTS = 32
"""As many as it takes in one request unless it says otherwise."""
_INLINE_NUMBERS = 2**15
"""So many become an array in a millisecond or so; more do in a thread."""

_KINDS: dict[str, ModelKind] = {"embedding": "embedding", "reranker": "reranking"}


class _Info(Struct):
    model_id: str
    max_input_length: int
    model_type: Any
    model_sha: str | None = None
    model_dtype: str = ""
    max_batch_tokens: int | None = None
    max_client_batch_size: int | None = None


class _Rank(Struct):
    index: int
    score: float | None


class Tei:
    """A server with one model; made by ``find_tei``."""

    def __init__(self, asker: Asker, info: _Info, kind: ModelKind) -> None:
        self._asker = asker
        self._info = info
        self._kind = kind

    @property
    def model(self) -> str:
        """The model's name there."""
        return self._info.model_id

    async def describe(self) -> Facts:
        info = self._info
        pooling = ""
        if self._kind == "embedding":
            probe = (await self.embed([PROBE_TEXT]))[0]
            # Under a name that is spelled in one way or another.
            details = next(iter(info.model_type.values())) if isinstance(info.model_type, dict) else None
            pooling = str(details.get("pooling", "")) if isinstance(details, dict) else ""
        else:
            probe = await self.rerank(*PROBE_PAIR)
        inputs = info.max_client_batch_size or _MOST_INPUTS
        return Facts(
            kind=self._kind,
            model=info.model_id,
            dim=len(probe) if self._kind == "embedding" else 1,
            probe=probe,
            max_tokens=info.max_input_length,
            pooling=pooling,
            activation="identity" if self._kind == "embedding" else "sigmoid",
            revision=info.model_sha or "",
            dtype=info.model_dtype,
            max_batch_tokens=info.max_batch_tokens or 16_384,
            max_inputs=inputs,
            tokenizes=True,
        )

    async def check(self) -> None:
        await self._asker.reach("/health")

    async def embed(self, texts: Sequence[str]) -> Numbers:
        rows = await self._asker.post(
            "/embed", {"inputs": texts, "truncate": False}, list[list[float | None]]
        )
        return await matrix(rows, len(texts), self._asker.name)

    async def rerank(self, query: str, texts: Sequence[str]) -> Numbers:
        body = {"query": query, "texts": texts, "raw_scores": True, "truncate": False}
        ranks = await self._asker.post("/rerank", body, list[_Rank])
        return scores([(one.index, one.score) for one in ranks], len(texts), self._asker.name)

    async def tokenize(self, texts: Sequence[str], *, special: bool) -> list[list[Token]]:
        most = self._info.max_client_batch_size or _MOST_INPUTS
        told: list[list[Token]] = []
        for first in range(0, len(texts), most):
            part = list(texts[first : first + most])
            body = {"inputs": part, "add_special_tokens": special}
            found = await self._asker.post("/tokenize", body, list[list[Token]])
            if len(found) != len(part):
                raise UpstreamFailed(f"{self._asker.name} tokenized {len(found)} texts of {len(part)}")
            told += [_by_code_points(tokens, text) for tokens, text in zip(found, part, strict=True)]
        return told

    async def decode(self, ids: Sequence[int], *, skip_special: bool) -> str:
        body = {"ids": [list(ids)], "skip_special_tokens": skip_special}
        texts = await self._asker.post("/decode", body, list[str])
        if len(texts) != 1:
            raise UpstreamFailed(f"{self._asker.name} decoded {len(texts)} texts of 1")
        return texts[0]


async def find_tei(asker: Asker, kind: ModelKind) -> Tei:
    """What is at that address, if it speaks this dialect.

    Raises:
        UpstreamRefused: it speaks another one.
        ModelLoadError: its model is for something else.
    """
    info = await asker.get("/info", _Info)
    given = next(iter(info.model_type), "") if isinstance(info.model_type, dict) else str(info.model_type)
    if _KINDS.get(given.lower()) != kind:
        raise ModelLoadError(f"{asker.name} has {info.model_id!r} for {given or 'nothing'}, not for {kind}")
    return Tei(asker, info, kind)


async def matrix(rows: Sequence[Sequence[float | None] | Numbers], count: int, name: str) -> Numbers:
    """The rows (count, dim); what is no number there is one that is not finite here, to be told as such. Many
    are put together in a thread.

    Raises:
        UpstreamFailed: they are fewer or more, or not of one length.
    """
    lengths = {len(row) for row in rows}
    if len(rows) != count or len(lengths) != 1 or lengths == {0}:
        raise UpstreamFailed(
            f"{name} answered {len(rows)} vectors of {sorted(lengths)} numbers to {count} texts"
        )
    if count * len(rows[0]) <= _INLINE_NUMBERS:
        return np.array(rows, dtype=np.float32)  # None becomes NaN
    return await asyncio.to_thread(np.array, rows, dtype=np.float32)


def scores(ranks: Sequence[tuple[int, float | None]], count: int, name: str) -> Numbers:
    """The scores (count,) by their index.

    Raises:
        UpstreamFailed: they are not one for each text.
    """
    told = dict(ranks)
    if len(ranks) != count or told.keys() != set(range(count)):
        raise UpstreamFailed(f"{name} answered {len(ranks)} scores to {count} texts")
    values = (told[index] for index in range(count))
    return np.array([math.nan if one is None else one for one in values], dtype=np.float32)


def _by_code_points(tokens: list[Token], text: str) -> list[Token]:
    """Some releases count bytes: then the places do not fit the text."""
    placed = [one for one in tokens if one.start is not None and one.stop is not None]
    if text.isascii() or all(text[one.start : one.stop] == one.text for one in placed):
        return tokens
    at = np.repeat(np.arange(len(text)), [len(letter.encode()) for letter in text])
    at = np.append(at, len(text))
    return [
        one
        if one.start is None or one.stop is None
        else Token(one.id, one.text, one.special, int(at[one.start]), int(at[min(one.stop, len(at) - 1)]))
        for one in tokens
    ]
