"""A stub of the service that speaks its public contract, for tests of the command line."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, web
from click.testing import Result

Embedd = Callable[..., Result]
"""Runs ``embedd`` with these arguments."""


@dataclass
class Received:
    """One file as it arrived."""

    collection: str
    content: bytes
    media_type: str | None
    fields: dict[str, str]


@dataclass
class Stub:
    """What the service holds, what it is to answer, and what it was asked."""

    url: str = ""
    collections: set[str] = field(default_factory=set)
    documents: dict[str, Received] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    busy: list[tuple[int, str]] = field(default_factory=list)
    drops: int = 0
    failing: dict[str, str] = field(default_factory=dict)
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    hits: list[dict[str, Any]] = field(default_factory=list)
    chunks: list[str] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    breaks_after: int | None = None
    imported: list[bytes] = field(default_factory=list)
    endless: bool = False
    not_ready: list[str] = field(default_factory=list)
    dim: int = 384
    models: list[dict[str, Any]] = field(default_factory=list)
    limits: dict[str, int] = field(default_factory=dict)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    added: list[dict[str, Any]] = field(default_factory=list)

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._record])
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/v1/info", self._info)
        app.router.add_post("/v1/models", self._add_model)
        app.router.add_get("/v1/models/{name:.+}/events", self._follow_model)
        app.router.add_get("/v1/models/{name:.+}", self._get_model)
        app.router.add_put("/v1/models/{name:.+}", self._add_model)
        app.router.add_patch("/v1/models/{name:.+}", self._add_model)
        app.router.add_delete("/v1/models/{name:.+}", self._remove_model)
        app.router.add_get("/v1/collections", self._list_collections)
        app.router.add_get("/v1/collections/{name}", self._get_collection)
        app.router.add_put("/v1/collections/{name}", self._put_collection)
        app.router.add_delete("/v1/collections/{name}", self._delete_collection)
        app.router.add_post("/v1/collections/{name}/documents", self._post_documents)
        app.router.add_get("/v1/collections/{name}/documents", self._list_documents)
        app.router.add_post("/v1/collections/{name}/documents/delete", self._delete_documents)
        app.router.add_get("/v1/jobs", self._list_jobs)
        app.router.add_get("/v1/jobs/{id}", self._get_job)
        app.router.add_delete("/v1/jobs/{id}", self._get_job)
        app.router.add_get("/v1/jobs/{id}/events", self._follow_job)
        app.router.add_post("/v1/collections/{name}/search", self._search)
        app.router.add_get("/v1/collections/{name}/export", self._export)
        app.router.add_post("/v1/collections/{name}/import", self._import)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/conversations", self._begin)
        return app

    @web.middleware
    async def _record(self, request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
        self.requests.append((request.method, request.path_qs))
        response: web.StreamResponse = await handler(request)
        return response

    async def _readyz(self, _: web.Request) -> web.Response:
        status = 503 if self.not_ready else 200
        return web.json_response({"ready": not self.not_ready, "reasons": self.not_ready}, status=status)

    async def _info(self, _: web.Request) -> web.Response:
        info = {"name": "embedd", "version": "1", "generator": "extractive", "collections": 0}
        return web.json_response(
            {
                **info,
                "limits": self.limits,
                "default_model": None,
                "default_reranker": None,
                "models": self.models,
            }
        )

    async def _get_collection(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self.collections:
            return refusal(404, f"no collection {name!r}")
        return web.json_response(collection(name) | {"dim": self.dim})

    async def _list_collections(self, _: web.Request) -> web.Response:
        return web.json_response({"collections": [collection(name) for name in sorted(self.collections)]})

    async def _delete_collection(self, request: web.Request) -> web.Response:
        was_there = request.match_info["name"] in self.collections
        self.collections.discard(request.match_info["name"])
        return web.json_response({"deleted": int(was_there)})

    async def _put_collection(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        self.collections.add(request.match_info["name"])
        return web.json_response(collection(request.match_info["name"]), status=201)

    async def _post_documents(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        if request.match_info["name"] not in self.collections:
            return refusal(404, "no such collection")
        if request.query.get("dry_run"):
            return web.json_response({"documents": [self._compare(id_, file) for id_, file in form.items()]})
        if self.busy:
            status, retry_after = self.busy.pop(0)
            return refusal(status, "busy", {"Retry-After": retry_after})
        if self.drops:
            self.drops -= 1
            assert request.transport is not None
            request.transport.abort()
        for id_ in form:
            if id_ in self.refused:
                return refusal(*self.refused[id_])
        return web.json_response({"documents": [self._write(id_, file) for id_, file in form.items()]})

    async def _form(self, request: web.Request) -> dict[str, Received]:
        files: dict[str, Received] = {}
        values: dict[str, str] = {}
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            if part.name == "file":
                content, media_type = bytes(await part.read()), part.headers.get("Content-Type")
                files[part.filename or ""] = Received(request.match_info["name"], content, media_type, values)
            else:
                values[part.name or ""] = await part.text()
        return files

    def _write(self, id_: str, file: Received) -> dict[str, Any]:
        if id_ in self.failing:
            return {"id": id_, "status": "failed", "passages": 0, "tokens": 0, "error": self.failing[id_]}
        unchanged = self.documents.get(id_) == file
        self.documents[id_] = file
        return {"id": id_, "status": "unchanged" if unchanged else "ready", "passages": 2, "tokens": 9}

    def _compare(self, id_: str, file: Received) -> dict[str, Any]:
        status = "new" if id_ not in self.documents else "changed"
        if self.documents.get(id_) == file:
            status = "unchanged"
        return {"id": id_, "status": status, "passages": 0, "tokens": 0}

    async def _list_documents(self, request: web.Request) -> web.Response:
        """In pages of two, so that there are several."""
        ids = sorted(id_ for id_ in self.documents if id_ > request.query.get("after", ""))
        page, rest = ids[:2], ids[2:]
        documents = [document(id_) for id_ in page]
        return web.json_response({"documents": documents, "next": page[-1] if rest else None})

    async def _delete_documents(self, request: web.Request) -> web.Response:
        ids = (await request.json())["ids"]
        return web.json_response({"deleted": sum(self.documents.pop(id_, None) is not None for id_ in ids)})

    async def _list_jobs(self, request: web.Request) -> web.Response:
        wanted = request.query.get("collection")
        return web.json_response({"jobs": [job for job in self.jobs if wanted in (None, job["collection"])]})

    async def _get_job(self, request: web.Request) -> web.Response:
        """The last of its states, cancelled if it is deleted."""
        states = [job for job in self.jobs if job["id"] == request.match_info["id"]]
        if not states:
            return refusal(404, "there is no such job")
        status = {"status": "cancelled"} if request.method == "DELETE" else {}
        return web.json_response(states[-1] | status)

    async def _follow_job(self, _: web.Request) -> web.Response:
        events = "".join(f"data: {json.dumps(job)}\n\n" for job in self.jobs)
        return web.Response(text=f"{events}data: [DONE]\n\n", content_type="text/event-stream")

    async def _add_model(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        return web.json_response(self.added[0], status=202)

    async def _get_model(self, _: web.Request) -> web.Response:
        return web.json_response(self.added[-1])

    async def _follow_model(self, _: web.Request) -> web.Response:
        events = "".join(f"data: {json.dumps(model)}\n\n" for model in self.added)
        return web.Response(text=f"{events}data: [DONE]\n\n", content_type="text/event-stream")

    async def _remove_model(self, _: web.Request) -> web.Response:
        return web.json_response({"deleted": 1})

    async def _search(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        if request.match_info["name"] not in self.collections:
            return refusal(404, f"no collection {request.match_info['name']!r}")
        return web.json_response({"hits": self.hits, "took_ms": 1.5, "plan": "exact"})

    async def _export(self, request: web.Request) -> web.StreamResponse:
        """``lines``, or those behind the id ``after``; the connection breaks once, at ``breaks_after``."""
        if request.match_info["name"] not in self.collections:
            return refusal(404, f"no collection {request.match_info['name']!r}")
        ids = [json.loads(line).get("id") for line in self.lines]
        first = ids.index(request.query["after"]) + 1 if "after" in request.query else 0
        body = b"".join(line + b"\n" for line in self.lines[first:])
        response = web.StreamResponse()
        await response.prepare(request)
        if self.breaks_after is not None:
            await response.write(body[: self.breaks_after])
            self.breaks_after = None
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write(body)
        return response

    async def _import(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.busy:
            status, retry_after = self.busy.pop(0)
            return refusal(status, "busy", {"Retry-After": retry_after})
        if b"wrong" in body:
            return refusal(422, "line 1: that is wrong")
        new = [line for line in body.splitlines() if b'"id"' in line]
        written = [line for line in new if line not in self.imported]
        self.imported += written
        return web.json_response({"imported": len(written), "unchanged": len(new) - len(written)})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.json())
        if not self.chunks:
            return refusal(400, "there is nothing to answer from")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for chunk in self.chunks:
            await response.write(f"data: {chunk}\n\n".encode())
        while self.endless and request.transport is not None:
            await response.write(b": still thinking\n\n")
            await asyncio.sleep(0.01)
        return response

    async def _begin(self, request: web.Request) -> web.Response:
        self.bodies.append(body := await request.json())
        known = {"id": "0199-new", "title": "", "model": None, "retrieval": None, "metadata": {}}
        times = {"created_at": "2026", "updated_at": "2026", "expires_at": None, "messages": 0}
        return web.json_response(known | body | times, status=201)

    def answer(self, *pieces: str, sources: list[dict[str, Any]]) -> None:
        """Make this the next answers: the pieces, then the chunk with the sources, then the end."""
        self.chunks = [chunk(piece) for piece in pieces] + [chunk(None, sources), "[DONE]"]


def chunk(content: str | None, sources: list[dict[str, Any]] | None = None) -> str:
    delta = {} if content is None else {"content": content}
    body: dict[str, Any] = {"id": "c", "created": 1, "model": "extractive", "object": "chat.completion.chunk"}
    body["choices"] = [{"index": 0, "delta": delta, "finish_reason": None}]
    return json.dumps(body if sources is None else body | {"sources": sources})


def source(index: int, quote: str, **others: Any) -> dict[str, Any]:
    place = {"document_id": "ops.md", "passage_id": "ops.md#0", "title": "Operations", "start": 0, "end": 9}
    return {"index": index, "quote": quote, **place, **others}


def collection(name: str) -> dict[str, Any]:
    sizes = {"documents": 12, "points": 3456, "size_bytes": 7_800_000}
    sizes |= {"memory_bytes": 5_300_000, "mapped_bytes": 0}
    model = {"model": "all-MiniLM-L6-v2", "model_revision": "r", "dim": 384, "metric": "cosine"}
    kept = {"token_vectors": None, "tokenizer": "porter", "quantization": "int8", "chunk_tokens": None}
    return {"name": name, "description": f"About {name}", **model, **kept, **sizes}


def document(id_: str) -> dict[str, Any]:
    sizes = {"passages": 2, "tokens": 9, "characters": 20}
    stamps = {"version": 1, "created_at": "2026-11-29T10:00:00Z", "updated_at": "2026-11-29T10:00:00Z"}
    return {"id": id_, "title": "", "metadata": {}, "media_type": "text/plain", **sizes, **stamps}


def job(id_: str, status: str, done: int, total: int, **others: Any) -> dict[str, Any]:
    ended = None if status == "running" else "2026-11-29T10:00:05Z"
    progress = {"documents": done, "documents_total": total, "passages": 3 * done, "rate": 2.5}
    progress |= {"bytes": 1000 * done, "bytes_total": 1000 * total, "seconds_left": float(total - done)}
    counts = {"total": total, "done": done, "failed": 0}
    place = {"id": id_, "collection": id_.partition(".")[0], "status": status}
    times = {"created_at": "2026-11-29T10:00:00Z", "finished_at": ended}
    return {**place, **counts, **times, "progress": progress, **others}


def hit(text: str, **others: Any) -> dict[str, Any]:
    place = {"id": "ops.md#0", "document_id": "ops.md", "title": "Operations", "start": 0, "end": 9}
    return {"text": text, "score": 0.75, "scores": {"dense": 0.75}, "metadata": {}, **place, **others}


def refusal(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"error": {"message": message, "type": "t", "param": None, "code": "c"}}
    return web.json_response(body, status=status, headers=headers)
