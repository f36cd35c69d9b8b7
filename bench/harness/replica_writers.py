"""Clients that write to several replicas of a service, and write down what was acknowledged.

Each sends every write with an idempotency key of its own until somebody acknowledges it, to another replica
whenever one is gone: so a write that was done but not heard of is sent again, and must not be done again.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

PATH = "/v1/collections/notes"
DOCUMENTS_OF_A_WRITE = 3
DOCUMENTS_OF_A_JOB = 40
_RETRY_S = 0.05
_JOB_LOOK_S = 0.05
_PAGE = 1_000


@dataclass(slots=True)
class Told:
    """What replicas have acknowledged: ids of documents, jobs, and when each acknowledgement came."""

    documents: set[str] = field(default_factory=set)
    jobs: list[str] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)


class Writers:
    """``urls`` are those of the replicas that are there; whoever kills one takes its URL away."""

    def __init__(self, session: aiohttp.ClientSession, urls: list[str], seed: int) -> None:
        self.urls = urls
        self.told = Told()
        self._session = session
        self._chance = random.Random(seed)
        self._numbers = itertools.count()
        self._stop = asyncio.Event()

    async def run(self, writers: int) -> None:
        """Write until ``stop``; what is under way by then is still brought to its end."""
        async with asyncio.TaskGroup() as group:
            for _ in range(writers):
                group.create_task(self._write_documents())
            group.create_task(self._write_jobs())

    def stop(self) -> None:
        self._stop.set()

    async def _write_documents(self) -> None:
        while not self._stop.is_set():
            ids = self._new_ids(DOCUMENTS_OF_A_WRITE)
            answer = await self._send(ids, wait=True)
            assert [one["status"] for one in answer["documents"]] == ["ready"] * len(ids), answer
            self.told.documents.update(ids)

    async def _write_jobs(self) -> None:
        while not self._stop.is_set():
            ids = self._new_ids(DOCUMENTS_OF_A_JOB)
            job = (await self._send(ids, wait=False))["job"]["id"]
            self.told.documents.update(ids)
            self.told.jobs.append(job)
            while not await self._is_over(job):  # noqa: ASYNC110 - as clients poll
                await asyncio.sleep(_JOB_LOOK_S)

    async def _is_over(self, job: str) -> bool:
        status: str = (await self._ask("GET", f"/v1/jobs/{job}"))["status"]
        return status != "running"

    def _new_ids(self, count: int) -> list[str]:
        first = next(self._numbers)
        return [f"d{first}-{n}" for n in range(count)]

    async def _send(self, ids: Sequence[str], *, wait: bool) -> dict[str, Any]:
        documents = [{"id": id, "text": f"What {id} says."} for id in ids]
        path = f"{PATH}/documents{'?wait=true' if wait else ''}"
        answer = await self._ask("POST", path, {"documents": documents}, key=ids[0])
        self.told.moments.append(time.perf_counter())
        return answer

    async def _ask(self, method: str, path: str, body: Any = None, *, key: str = "") -> dict[str, Any]:
        """The answer of the first replica that gives one; 503 and 409 (it is under way) ask to come again."""
        headers = {"Idempotency-Key": key} if key else {}
        while True:
            url = self._chance.choice(self.urls) + path
            with suppress(aiohttp.ClientError, TimeoutError):
                async with self._session.request(method, url, json=body, headers=headers) as response:
                    answer = await response.read()
                    if response.status < 400:
                        found: dict[str, Any] = await response.json()
                        return found
                    assert response.status in (409, 503), answer
            await asyncio.sleep(_RETRY_S)

    async def check(self) -> dict[str, int]:
        """How many documents were acknowledged, are not there, or were written twice."""
        versions: dict[str, int] = {}
        after = ""
        while True:
            query = f"{PATH}/documents?limit={_PAGE}" + (f"&after={after}" if after else "")
            page = (await self._ask("GET", query))["documents"]
            if not page:
                break
            versions |= {one["id"]: one["version"] for one in page}
            after = page[-1]["id"]
        return {
            "acknowledged": len(self.told.documents),
            "lost": len(self.told.documents - versions.keys()),
            "doubled": sum(version > 1 for version in versions.values()),
        }
