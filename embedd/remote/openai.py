"""OpenAI's dialect: ``/models``, ``/embeddings``, and ``/rerank`` as Cohere, Jina, vLLM and infinity have it.

Servers of this dialect do not say how they deal with what is too long; some cut it and say nothing. So
nothing that may be too long is ever sent.
"""

import base64
import binascii
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from embedd.encoding import Token
from embedd.errors import ModelLoadError, UpstreamFailed
from embedd.remote.http import Asker
from embedd.remote.peers import Facts, Numbers
from embedd.remote.probes import PROBE_PAIR, PROBE_TEXT
from embedd.remote.tei import matrix, scores
from embedd.specs import ModelKind

_MOST_INPUTS = 64


class _Model(Struct):
    id: str
    max_model_len: int | None = None


class _Models(Struct):
    """infinity of old has a single one where others have a list."""

    data: list[_Model] | _Model


class _Embedding(Struct):
    index: int
    embedding: list[float | None] | str


class _Embeddings(Struct):
    data: list[_Embedding]


class _Result(Struct):
    index: int
    relevance_score: float | None


class _Results(Struct):
    """infinity of old calls them ``data``."""

    results: list[_Result] = []
    data: list[_Result] = []


class OpenAi:
    """A server, and one of its models; made by ``find_openai``."""

    def __init__(self, asker: Asker, prefix: str, model: _Model, kind: ModelKind) -> None:
        self._asker = asker
        self._prefix = prefix
        self._model = model
        self._kind = kind

    @property
    def model(self) -> str:
        """The model's name there."""
        return self._model.id

    async def describe(self) -> Facts:
        embeds = self._kind == "embedding"
        probe = (await self.embed([PROBE_TEXT]))[0] if embeds else await self.rerank(*PROBE_PAIR)
        return Facts(
            kind=self._kind,
            model=self._model.id,
            dim=len(probe) if embeds else 1,
            probe=probe,
            max_tokens=self._model.max_model_len,
            max_inputs=_MOST_INPUTS,
        )

    async def check(self) -> None:
        await self._asker.reach(f"{self._prefix}/models")

    async def embed(self, texts: Sequence[str]) -> Numbers:
        body = {"model": self._model.id, "input": texts, "encoding_format": "base64"}
        answer = await self._asker.post(f"{self._prefix}/embeddings", body, _Embeddings)
        name, told = self._asker.name, {one.index: one.embedding for one in answer.data}
        if len(answer.data) != len(texts) or told.keys() != set(range(len(texts))):
            raise UpstreamFailed(f"{name} answered {len(answer.data)} vectors to {len(texts)} texts")
        return await matrix([_numbers(told[index], name) for index in range(len(texts))], len(texts), name)

    async def rerank(self, query: str, texts: Sequence[str]) -> Numbers:
        body = {"model": self._model.id, "query": query, "documents": texts, "top_n": len(texts)}
        answer = await self._asker.post(f"{self._prefix}/rerank", body, _Results)
        found = answer.results or answer.data
        return scores([(one.index, one.relevance_score) for one in found], len(texts), self._asker.name)

    async def tokenize(self, texts: Sequence[str], *, special: bool) -> list[list[Token]]:
        raise NotImplementedError("servers of this dialect do not tokenize")

    async def decode(self, ids: Sequence[int], *, skip_special: bool) -> str:
        raise NotImplementedError("servers of this dialect do not tokenize")


async def find_openai(asker: Asker, prefix: str, wanted: str, kind: ModelKind) -> OpenAi:
    """The model ``wanted`` of the server behind ``prefix``, or its only one for "".

    Raises:
        UpstreamError: there is no list of models.
        ModelLoadError: there is no such model, or there are several.
    """
    listed = (await asker.get(f"{prefix}/models", _Models)).data
    models = listed if isinstance(listed, list) else [listed]
    found = [one for one in models if one.id == wanted] if wanted else models
    if len(found) != 1:
        names = ", ".join(repr(one.id) for one in models[:10]) or "none"
        asked = f"no model {wanted!r}" if wanted else "several models" if models else "no model"
        raise ModelLoadError(f"{asker.name} has {asked}: name one of them before the address ({names})")
    return OpenAi(asker, prefix, found[0], kind)


def _numbers(told: list[float | None] | str, name: str) -> Sequence[float | None] | Numbers:
    """A vector as numbers, or as little-endian float32 in base64."""
    if not isinstance(told, str):
        return told
    try:
        numbers: Numbers = np.frombuffer(base64.b64decode(told, validate=True), dtype="<f4")
    except (binascii.Error, ValueError) as error:
        raise UpstreamFailed(f"{name} answered a vector that is no base64 of float32: {error}") from error
    return numbers
