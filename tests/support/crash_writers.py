"""Clients that write, replace and delete at once, and write down what the service acknowledged.

Each has ids of its own and one request at a time. They stop when the connection breaks.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from promises import Ledger, point_of, text_of

DOCUMENTS = "/v1/collections/notes/documents"
POINTS = "/v1/collections/vectors/points"
DOCUMENT_IDS = 40
POINT_IDS = 6000
POINT_BATCH = 60
JOB_DOCUMENTS = 6
# Once there are twice as many the older ones are deleted: each of a thousand checks reads all that is there.
JOB_DOCUMENTS_KEPT = 120
JOB_POLL_S = 0.02

Change = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Promises:
    """Everything that one data folder has to hold."""

    documents: Ledger = field(default_factory=Ledger)
    points: Ledger = field(default_factory=Ledger)
    jobs: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Crowd:
    """All the writers of one life of the service; ``enough`` is set at the given number of answers."""

    session: aiohttp.ClientSession
    promises: Promises
    chance: random.Random
    answers_wanted: int
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    answers: int = 0

    async def write(self) -> None:
        """Until the service is gone."""
        writers = [self.change_documents(f"d{n}") for n in range(3)]
        writers += [self.change_points(f"p{n}") for n in range(2)]
        try:
            async with asyncio.TaskGroup() as group:
                for writer in [*writers, self.submit_jobs()]:
                    group.create_task(writer)
        finally:
            self.enough.set()

    async def change_documents(self, owner: str) -> None:
        with suppress(aiohttp.ClientError):
            while True:
                ids = self._some([f"{owner}-{n}" for n in range(DOCUMENT_IDS)], self.chance.randint(1, 4))
                await (
                    self._delete_documents(ids) if self.chance.random() < 0.25 else self._put_documents(ids)
                )

    async def change_points(self, owner: str) -> None:
        with suppress(aiohttp.ClientError):
            while True:
                ids = self._some([f"{owner}-{n}" for n in range(POINT_IDS)], POINT_BATCH)
                await (self._delete_points(ids[:9]) if self.chance.random() < 0.2 else self._put_points(ids))

    async def submit_jobs(self) -> None:
        with suppress(aiohttp.ClientError):
            while True:
                revision = self.promises.documents.next_revision()
                documents = {f"j-{revision}-{n}": revision for n in range(JOB_DOCUMENTS)}
                job_id = await self._submit(documents, as_files=revision % 2 == 0)
                await self._finished(job_id)
                if aged := self._aged():
                    await self._delete_documents(aged)

    def _aged(self) -> list[str]:
        """Documents of jobs to be deleted."""
        held = self.promises.documents.acknowledged
        of_jobs = sorted((id for id in held if id.startswith("j-")), key=held.__getitem__)
        return of_jobs[:-JOB_DOCUMENTS_KEPT] if len(of_jobs) > 2 * JOB_DOCUMENTS_KEPT else []

    async def _put_documents(self, ids: list[str]) -> None:
        ledger = self.promises.documents
        changes = {id: ledger.next_revision() for id in ids}
        body = {"documents": [{"id": id, "text": text_of(id, number)} for id, number in changes.items()]}
        with ledger.request(dict(changes)):
            answer = await self._post(f"{DOCUMENTS}?wait=true", 200, json=body)
            assert [one["status"] for one in answer["documents"]] == ["ready"] * len(ids), answer
        self._count()

    async def _delete_documents(self, ids: list[str]) -> None:
        ledger = self.promises.documents
        present = [id for id in ids if id in ledger.acknowledged]
        with ledger.request(dict.fromkeys(ids)):
            answer = await self._post(f"{DOCUMENTS}/delete", 200, json={"ids": ids})
            assert answer == {"deleted": len(present)}
        self._count()

    async def _put_points(self, ids: list[str]) -> None:
        ledger = self.promises.points
        changes = {id: ledger.next_revision() for id in ids}
        body = {"points": [point_of(id, number) for id, number in changes.items()]}
        with ledger.request(dict(changes)):
            await self._post(POINTS, 200, json=body)
        self._count()

    async def _delete_points(self, ids: list[str]) -> None:
        with self.promises.points.request(dict.fromkeys(ids)):
            await self._post(f"{POINTS}/delete", 200, json={"ids": ids})
        self._count()

    async def _submit(self, documents: dict[str, int], *, as_files: bool) -> str:
        """The job's id; its documents count as promised from its acceptance."""
        ledger = self.promises.documents
        if as_files:
            form = aiohttp.FormData()
            for id, number in documents.items():
                form.add_field("file", text_of(id, number).encode(), filename=id, content_type="text/plain")
            request = {"data": form}
        else:
            texts = [{"id": id, "text": text_of(id, number)} for id, number in documents.items()]
            request = {"json": {"documents": texts}}
        with ledger.request(dict(documents)):
            answer = await self._post(DOCUMENTS, 202, **request)
            self.promises.jobs.append(answer["job"]["id"])
        self._count()
        return answer["job"]["id"]

    async def _finished(self, job_id: str) -> None:
        """One job after the other, so that a kill leaves one to resume and not a heap of them."""
        status = "running"
        while status == "running":
            await asyncio.sleep(JOB_POLL_S)
            async with self.session.get(f"/v1/jobs/{job_id}") as response:
                status = (await response.json())["status"]

    async def _post(self, path: str, status: int, **request: Any) -> Any:
        async with self.session.post(path, **request) as response:
            body = await response.read()
            assert response.status == status, body
            return json.loads(body)

    def _some(self, ids: list[str], count: int) -> list[str]:
        return self.chance.sample(ids, count)

    def _count(self) -> None:
        self.answers += 1
        if self.answers == self.answers_wanted:
            self.enough.set()
