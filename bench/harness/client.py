"""The part of the service's HTTP contract that the benches use, over one connection pool."""

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp

from harness.corpora import SourceDocument
from harness.load import run_clients

DOCUMENTS_PER_REQUEST = 64
REQUESTS_IN_FLIGHT = 4
TIMEOUT_S = 600.0


class RequestFailed(Exception):
    """The service answered something else than the contract promises for what was sent."""


@dataclass(frozen=True, slots=True)
class ChatTimes:
    """Seconds from sending a question to its first text, and to the end of the stream."""

    first_token_s: float
    total_s: float


class Client:
    """Speaks to one service; see ``open_client``."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def info(self) -> dict[str, Any]:
        """What the service says about itself."""
        return await self._request("GET", "/v1/info")

    async def create_collection(self, name: str, **options: Any) -> None:
        """A collection with the default embedding model."""
        await self._request("PUT", f"/v1/collections/{name}", options)

    async def add_documents(
        self, collection: str, documents: Sequence[SourceDocument]
    ) -> list[dict[str, Any]]:
        """Adds all, several requests at a time, and waits until each is stored; their reports, in order.

        Raises:
            RequestFailed: a document was not stored.
        """
        size = DOCUMENTS_PER_REQUEST
        batches = [documents[start : start + size] for start in range(0, len(documents), size)]
        answers = await run_clients(
            lambda number: self._add_batch(collection, batches[number]),
            clients=REQUESTS_IN_FLIGHT,
            requests=len(batches),
        )
        return [report for answer in answers for report in answer]

    async def add_file(
        self, collection: str, name: str, content: bytes, *, password: str | None = None
    ) -> dict[str, Any]:
        """Uploads one file; what became of it, which may be that it failed."""
        form = aiohttp.FormData()
        form.add_field("file", content, filename=name, content_type="application/octet-stream")
        if password is not None:
            form.add_field("password", password)
        path = f"/v1/collections/{collection}/documents?wait=true"
        async with self._session.post(path, data=form) as response:
            await check(response)
            answer: dict[str, Any] = await response.json()
            outcome: dict[str, Any] = answer["documents"][0]
            return outcome

    async def text(self, collection: str, id_: str) -> str:
        """The text of a document, as it was read."""
        path = f"/v1/collections/{collection}/documents/{quote(id_, safe='')}?include=text"
        text: str = (await self._request("GET", path))["text"]
        return text

    async def add_points(self, collection: str, points: Sequence[dict[str, Any]]) -> None:
        """Adds points with vectors of their own."""
        await self._request("POST", f"/v1/collections/{collection}/points", {"points": list(points)})

    async def search(self, collection: str, **query: Any) -> list[dict[str, Any]]:
        """The hits of one search, best first."""
        answer = await self._request("POST", f"/v1/collections/{collection}/search", query)
        hits: list[dict[str, Any]] = answer["hits"]
        return hits

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text."""
        answer = await self._request("POST", "/v1/embeddings", {"input": list(texts)})
        return [item["embedding"] for item in answer["data"]]

    async def chat(self, model: str, question: str) -> ChatTimes:
        """Asks one question and reads the whole stream.

        Raises:
            RequestFailed: the stream ended before it was done, or held no text.
        """
        body = {"model": model, "stream": True, "messages": [{"role": "user", "content": question}]}
        started = time.perf_counter()
        first = total = None
        async with self._session.post("/v1/chat/completions", json=body) as response:
            await check(response)
            async for event in server_sent_events(response):
                if event == "[DONE]":
                    total = time.perf_counter() - started
                elif first is None and text_of(json.loads(event)):
                    first = time.perf_counter() - started
        if first is None or total is None:
            raise RequestFailed(f"the answer to {question!r} held no text or did not end")
        return ChatTimes(first, total)

    async def answer(self, question: str, **retrieval: Any) -> dict[str, Any]:
        """What `extractive` says to one question, as a whole."""
        messages = [{"role": "user", "content": question}]
        body = {"model": "extractive", "messages": messages, "retrieval": retrieval}
        return await self._request("POST", "/v1/chat/completions", body)

    async def _add_batch(self, collection: str, documents: Sequence[SourceDocument]) -> list[dict[str, Any]]:
        rows = [{"id": d.id, "text": d.text} | ({"title": d.title} if d.title else {}) for d in documents]
        path = f"/v1/collections/{collection}/documents?wait=true"
        answer = await self._request("POST", path, {"documents": rows})
        reports: list[dict[str, Any]] = answer["documents"]
        failed = [report for report in reports if report["status"] == "failed"]
        if failed:
            raise RequestFailed(f"{len(failed)} of {len(reports)} documents failed, the first: {failed[0]}")
        return reports

    async def _request(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        async with self._session.request(method, path, json=body) as response:
            await check(response)
            answer: dict[str, Any] = await response.json()
            return answer


@asynccontextmanager
async def open_client(url: str) -> AsyncIterator[Client]:
    """A client whose pool never makes a request wait for another one's connection."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, timeout=timeout, connector=connector) as session:
        yield Client(session)


async def check(response: aiohttp.ClientResponse) -> None:
    """Raises ``RequestFailed`` with what the service said, unless it succeeded."""
    if response.status >= 400:
        raise RequestFailed(f"{response.method} {response.url}: {response.status} {await response.text()}")


async def server_sent_events(response: aiohttp.ClientResponse) -> AsyncIterator[str]:
    """The data of each event; of any size, so not read by lines, which aiohttp limits."""
    waiting = b""
    async for chunk in response.content.iter_any():
        *complete, waiting = (waiting + chunk).replace(b"\r\n", b"\n").split(b"\n\n")
        for event in complete:
            lines = event.decode().split("\n")
            data = [
                line.removeprefix("data:").removeprefix(" ") for line in lines if line.startswith("data:")
            ]
            if data:
                yield "\n".join(data)


def text_of(chunk: dict[str, Any]) -> str:
    """The text that a chunk of a streamed answer adds."""
    return "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])
