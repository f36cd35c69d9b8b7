"""Servers of models as others write them, which misbehave on demand: real ones on loopback.

Their vectors and scores are those of the fake model, so that what came through is known to be right. A text
of more words than they read is refused by TEI and cut by infinity, as they do.
"""

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import web

from embedd.fake import FakeTokenizer, fake_score, fake_vectors

Behave = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_TOKENS = 64
_TOKENIZER = FakeTokenizer()


@dataclass
class ModelServer:
    """``bodies`` has what came to each path but for probes; ``next`` says how to answer the next ones that
    embed or rerank, one each, ``behave`` all others. ``most`` is the most inputs of a request, ``busy`` how
    many are under way and ``busiest`` how many were at once. While ``hold`` is set, nothing is answered.
    Unless it ``tokenizes`` it says nothing when it is asked for tokens. ``rotated`` is another model; what an
    embedding model is for is ``spelled`` so.
    """

    url: str = ""
    model: str = "org/model"
    kind: str = "embedding"
    most: int = 8
    key: str = ""
    spelled: str = "embedding"
    rotated: bool = False
    bodies: list[tuple[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    next: list[Behave] = field(default_factory=list)
    behave: Behave | None = None
    healthy: bool = True
    tokenizes: bool = True
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    busy: int = 0
    busiest: int = 0
    left: int = 0
    runner: web.AppRunner | None = None

    async def stop(self) -> None:
        """End it, and all connections, at once."""
        assert self.runner is not None
        await self.runner.cleanup()

    def __post_init__(self) -> None:
        self.hold.set()

    def of(self, path: str) -> list[Any]:
        return [body for asked, body in self.bodies if asked == path]

    def vectors(self, texts: Sequence[str]) -> list[list[float]]:
        rows = fake_vectors([one.ids for one in _TOKENIZER.encode(list(texts), MAX_TOKENS, "end")])
        return np.roll(rows, 7, axis=1).tolist() if self.rotated else rows.tolist()

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        pairs = _TOKENIZER.encode_pairs(query, list(texts), MAX_TOKENS, "end")
        return [fake_score(one.ids, one.second) for one in pairs]

    def saying(self, say: Callable[[Any], web.Response]) -> Behave:
        """A handler that says so, unless it is to misbehave."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._answer(request, say)

        return handle

    async def _answer(self, request: web.Request, say: Callable[[Any], web.Response]) -> web.StreamResponse:
        body = await request.json()
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.json_response({"error": "no", "error_type": "Unauthenticated"}, status=401)
        if "harbour is closed" not in json.dumps(body):  # but for probes
            self.bodies.append((request.path, body))
            self.headers.append(dict(request.headers))
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
            try:
                await self.hold.wait()
                behave = self.next.pop(0) if self.next else self.behave
                return say(body) if behave is None else await behave(request)
            except (ConnectionError, asyncio.CancelledError):
                self.left += 1
                raise
            finally:
                self.busy -= 1
        return say(body)


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else value


def _tei_routes(server: ModelServer) -> list[web.RouteDef]:
    """Of text-embeddings-inference 1.9."""
    return [*_tei_facts(server), *_tei_models(server), *_tei_tokens(server)]


def _tei_facts(server: ModelServer) -> list[web.RouteDef]:
    model_type: Any = {server.spelled: {"pooling": "mean"}}
    if server.kind == "reranking":
        model_type = {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}}

    async def info(_: web.Request) -> web.Response:
        return web.json_response(
            {
                "model_id": server.model,
                "model_sha": "abc123",
                "model_dtype": "float16",
                "served_model_name": server.model,
                "model_type": model_type,
                "max_concurrent_requests": 512,
                "max_input_length": MAX_TOKENS,
                "max_batch_tokens": 16384,
                "max_batch_requests": None,
                "max_client_batch_size": server.most,
                "auto_truncate": True,
                "tokenization_workers": 2,
                "version": "1.9.3",
                "sha": None,
                "docker_label": None,
            }
        )

    async def health(_: web.Request) -> web.Response:
        return web.Response(status=200 if server.healthy else 503)

    return [web.get("/info", info), web.get("/health", health)]


def _tei_models(server: ModelServer) -> list[web.RouteDef]:
    def embedded(body: Any) -> web.Response:
        texts = _listed(body["inputs"])
        if refusal := _refusal(texts, server.most):
            return refusal
        return web.json_response(server.vectors(texts))

    def ranked(body: Any) -> web.Response:
        assert body["raw_scores"]
        if refusal := _refusal(body["texts"], server.most):
            return refusal
        scored = enumerate(server.scores(body["query"], body["texts"]))
        ranks = [{"index": index, "score": score} for index, score in scored]
        return web.json_response(sorted(ranks, key=lambda rank: -rank["score"]))

    return [web.post("/embed", server.saying(embedded)), web.post("/rerank", server.saying(ranked))]


def _tei_tokens(server: ModelServer) -> list[web.RouteDef]:
    async def tokenize(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        server.bodies.append((request.path, body))
        if not server.tokenizes:
            return await falling_silent(request)
        texts = _listed(body["inputs"])
        if len(texts) > server.most:
            return _tei_error(413, "batch size is too large", "Validation")
        tokens = [_TOKENIZER.details(text, special=body["add_special_tokens"]) for text in texts]
        return web.json_response(
            [
                [
                    {"id": t.id, "text": t.text, "special": t.special, "start": t.start, "stop": t.stop}
                    for t in one
                ]
                for one in tokens
            ]
        )

    async def decode(request: web.Request) -> web.Response:
        body = await request.json()
        return web.json_response(["decoded words" for _ in body["ids"]])

    return [web.post("/tokenize", tokenize), web.post("/decode", decode)]


def _refusal(texts: Sequence[str], most: int) -> web.Response | None:
    if len(texts) > most:
        return _tei_error(413, f"batch size {len(texts)} > maximum allowed batch size {most}", "Validation")
    for count in _TOKENIZER.count(list(texts)):
        if count + 2 > MAX_TOKENS:
            return _tei_error(
                413, f"`inputs` must have less than {MAX_TOKENS} tokens. Given: {count + 2}", "Validation"
            )
    return None


def _tei_error(status: int, message: str, kind: str) -> web.Response:
    return web.json_response({"error": message, "error_type": kind}, status=status)


def _openai_routes(server: ModelServer, prefix: str) -> list[web.RouteDef]:
    """Of infinity 0.0.77, which cuts what is too long and says nothing."""

    async def models(_: web.Request) -> web.Response:
        if not server.healthy:
            return web.Response(status=503)
        model = {
            "id": server.model,
            "stats": {"queue_fraction": 0.0, "queue_absolute": 0, "results_pending": 0, "batch_size": 32},
            "object": "model",
            "owned_by": "infinity",
            "created": 1,
            "backend": "torch",
            "capabilities": ["embed"],
        }
        return web.json_response({"data": [model], "object": "list"})

    def embedded(body: Any) -> web.Response:
        rows: list[Any] = server.vectors(_listed(body["input"]))
        if body.get("encoding_format") == "base64":
            rows = [base64.b64encode(np.array(row, dtype="<f4").tobytes()).decode() for row in rows]
        data = [{"object": "embedding", "embedding": row, "index": n} for n, row in enumerate(rows)]
        usage = {"prompt_tokens": 9, "total_tokens": 9}
        return web.json_response({"object": "list", "data": data, "model": server.model, "usage": usage})

    def ranked(body: Any) -> web.Response:
        scored = enumerate(server.scores(body["query"], body["documents"]))
        results = [{"relevance_score": score, "index": index, "document": None} for index, score in scored]
        return web.json_response({"object": "rerank", "results": results, "model": server.model})

    return [
        web.get(f"{prefix}/models", models),
        web.post(f"{prefix}/embeddings", server.saying(embedded)),
        web.post(f"{prefix}/rerank", server.saying(ranked)),
    ]


@asynccontextmanager
async def open_tei(port: int = 0, **options: Any) -> AsyncIterator[ModelServer]:
    server = ModelServer(**options)
    async with _open(server, _tei_routes(server), port):
        yield server


@asynccontextmanager
async def open_infinity(port: int = 0, prefix: str = "", **options: Any) -> AsyncIterator[ModelServer]:
    server = ModelServer(**options)
    async with _open(server, _openai_routes(server, prefix), port):
        yield server


@asynccontextmanager
async def _open(server: ModelServer, routes: list[web.RouteDef], port: int) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_routes(routes)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
    host, bound = runner.addresses[0][:2]
    server.url, server.runner = f"http://{host}:{bound}", runner
    try:
        yield
    finally:
        await runner.cleanup()


def refusing(status: int, message: str = "no", **headers: str) -> Behave:
    async def behave(_: web.Request) -> web.StreamResponse:
        body = {"error": message, "error_type": "Validation"}
        return web.json_response(body, status=status, headers=headers)

    return behave


def saying(body: bytes) -> Behave:
    """Those bytes, whatever they are."""

    async def behave(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/json")

    return behave


def answering(rows: Any) -> Behave:
    """That JSON."""
    return saying(json.dumps(rows).encode())


async def breaking_off(request: web.Request) -> web.StreamResponse:
    """Half an answer, and then the connection is gone."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"[[0.1, ")
    assert request.transport is not None
    request.transport.abort()
    return response


async def falling_silent(request: web.Request) -> web.StreamResponse:
    """Nothing, for ever."""
    await asyncio.Event().wait()
    return web.Response()


numbers = itertools.count()
"""For texts that nobody has asked for before."""
