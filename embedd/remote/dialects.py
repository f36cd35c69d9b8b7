"""A server over HTTP: what it speaks is found out by asking, and then it runs batches of texts."""

import asyncio
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import numpy as np

from embedd.encoding import Encoding, Token
from embedd.errors import EmbeddError, InputRefused, ModelLoadError, UpstreamFailed, UpstreamRefused
from embedd.lanes import Lane
from embedd.remote.http import Asker, open_asker
from embedd.remote.openai import find_openai
from embedd.remote.peers import Facts, Numbers, Told
from embedd.remote.specs import RemoteLimits, RemoteSpec
from embedd.remote.tei import find_tei
from embedd.specs import ModelKind
from embedd.token_vectors import TokenDtype
from embedd.upstream.client import Context

_VERSION = "/v1"


class Dialect(Protocol):
    """How a server is asked; raises what ``Asker.post`` does."""

    @property
    def model(self) -> str: ...
    async def describe(self) -> Facts: ...
    async def check(self) -> None: ...
    async def embed(self, texts: Sequence[str]) -> Numbers: ...
    async def rerank(self, query: str, texts: Sequence[str]) -> Numbers: ...
    async def tokenize(self, texts: Sequence[str], *, special: bool) -> list[list[Token]]: ...
    async def decode(self, ids: Sequence[int], *, skip_special: bool) -> str: ...


class HttpPeer:
    """Made by ``open_http_peer``."""

    def __init__(self, asker: Asker, spec: RemoteSpec, kind: ModelKind) -> None:
        self.url = asker.url
        self._asker = asker
        self._spec = spec
        self._kind = kind
        self._dialect: Dialect | None = None

    async def describe(self) -> Facts:
        """Asked anew each time: behind an address there may be another server by now."""
        self._dialect = await self._find()
        try:
            return await self._dialect.describe()
        except UpstreamRefused as error:
            raise ModelLoadError(f"{error}: is it a model for {self._kind}?") from error

    async def check(self) -> None:
        await self._known.check()

    async def run(self, inputs: Sequence[Encoding], lane: Lane, token_dtype: TokenDtype | None) -> Told:  # noqa: ARG002
        assert token_dtype is None, "the embedder refuses to ask for it"
        try:
            return Told(await (self._embed(inputs) if self._kind == "embedding" else self._rerank(inputs)))
        except UpstreamRefused as error:
            raise InputRefused(0, str(error)) from error

    async def tokenize(self, texts: Sequence[str], *, special: bool) -> list[list[Token]]:
        return await self._known.tokenize(texts, special=special)

    async def decode(self, ids: Sequence[int], *, skip_special: bool) -> str:
        return await self._known.decode(ids, skip_special=skip_special)

    @property
    def _known(self) -> Dialect:
        assert self._dialect is not None, "it has been described"
        return self._dialect

    async def _embed(self, inputs: Sequence[Encoding]) -> Numbers:
        return await self._known.embed([one.texts[0] for one in inputs])

    async def _rerank(self, inputs: Sequence[Encoding]) -> Numbers:
        """Pairs of one query are asked for together."""
        places: dict[str, list[int]] = defaultdict(list)
        for place, one in enumerate(inputs):
            places[one.texts[0]].append(place)
        rows = np.empty((len(inputs), 1), dtype=np.float32)

        async def score(query: str, of: list[int]) -> None:
            rows[of, 0] = await self._known.rerank(query, [inputs[place].texts[1] for place in of])

        for told in await asyncio.gather(
            *(score(query, of) for query, of in places.items()), return_exceptions=True
        ):
            if told is not None:
                raise told
        return rows

    async def _find(self) -> Dialect:
        """TEI if it is one and has the model, else OpenAI's dialect, where a /v1 may be in front or not."""
        if self.url.endswith(_VERSION):
            return await self._openai("")
        other: EmbeddError | None = None
        if not self._spec.openai:
            try:
                tei = await find_tei(self._asker, self._kind)
            except (UpstreamRefused, UpstreamFailed, ModelLoadError) as error:
                other = error
            else:
                if self._spec.model in ("", tei.model):
                    return tei
                other = ModelLoadError(f"{self._asker.name} has {tei.model!r}, not {self._spec.model!r}")
        try:
            return await self._openai(_VERSION)
        except UpstreamRefused:
            pass
        try:
            return await self._openai("")
        except UpstreamRefused as error:
            unknown = f"{self._asker.name} speaks neither TEI's dialect (/info) nor OpenAI's (/v1/models)"
            told = str(other) if isinstance(other, ModelLoadError) else f"{unknown}: {error}"
            raise ModelLoadError(told) from error

    async def _openai(self, prefix: str) -> Dialect:
        return await find_openai(self._asker, prefix, self._spec.model, self._kind)


@asynccontextmanager
async def open_http_peer(
    name: str,
    spec: RemoteSpec,
    kind: ModelKind,
    url: str,
    *,
    key: str = "",
    limits: RemoteLimits,
    context: Context = dict,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[HttpPeer]:
    """The server at ``url`` with a model called ``name`` here; nothing is asked of it yet."""
    who = f"the server of {name!r} at {url}"
    async with open_asker(who, url, key=key, limits=limits, context=context, tls=tls) as asker:
        yield HttpPeer(asker, spec, kind)
