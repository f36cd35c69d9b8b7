"""Turns at jobs that several services share, over leases in memory."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import pytest

from api.services import leased_queue
from api.services.job_queue import COLLECTIONS_AT_ONCE, collection_of
from api.services.leased_queue import LeasedQueue
from embedd.ownership import beside
from index.errors import StorageFailed


class Jobs:
    """The jobs of all collections, and who holds which."""

    def __init__(self, *waiting: str) -> None:
        self.waiting = list(waiting)
        self.holder: dict[str, str] = {}
        self.is_away = False

    def leases(self, name: str) -> "Leases":
        return Leases(self, name)


class Leases:
    def __init__(self, jobs: Jobs, name: str) -> None:
        self._jobs = jobs
        self._name = name

    async def claim(self) -> str | None:
        if self._jobs.is_away:
            raise StorageFailed("away")
        oldest = {collection_of(job_id): job_id for job_id in reversed(self._jobs.waiting)}
        free = [one for one in self._jobs.waiting if oldest[collection_of(one)] == one]
        job_id = next((one for one in free if one not in self._jobs.holder), None)
        if job_id is not None:
            self._jobs.holder[job_id] = self._name
        return job_id

    async def renew(self, job_ids: Collection[str]) -> frozenset[str]:
        return frozenset(job_id for job_id in job_ids if self._jobs.holder.get(job_id) == self._name)

    async def release(self, job_id: str, pause_s: float) -> None:  # noqa: ARG002
        if self._jobs.is_away:
            raise StorageFailed("away")
        if self._jobs.holder.get(job_id) == self._name:
            del self._jobs.holder[job_id]
            self._jobs.waiting.append(self._jobs.waiting.pop(self._jobs.waiting.index(job_id)))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leased_queue, "LOOK_S", 0.01)
    monkeypatch.setattr(leased_queue, "RENEW_S", 0.01)


@pytest.fixture
def lost() -> list[str]:
    return []


@asynccontextmanager
async def queue_at_work(jobs: Jobs, lost: list[str], name: str = "a") -> AsyncIterator[LeasedQueue]:
    queue = LeasedQueue(jobs.leases(name))
    async with beside(queue.work(lost.append)):
        yield queue


async def test_a_job_that_others_left_is_found_by_itself(lost: list[str]) -> None:
    jobs = Jobs()
    async with queue_at_work(jobs, lost) as queue:
        taking = asyncio.create_task(queue.take())
        await asyncio.sleep(0)
        jobs.waiting.append("docs.1")
        assert await taking == "docs.1"
        assert jobs.holder == {"docs.1": "a"}


async def test_no_more_jobs_are_held_than_are_worked_on(lost: list[str]) -> None:
    jobs = Jobs(*(f"c{number}.job" for number in range(5)))
    async with queue_at_work(jobs, lost) as queue:
        taken = {await queue.take() for _ in range(COLLECTIONS_AT_ONCE)}
        await asyncio.sleep(0.03)
        assert set(jobs.holder) == taken
        await queue.give_back(min(taken), None)
        jobs.waiting.remove(min(taken))
        assert await queue.take() not in taken


async def test_a_job_of_documents_is_let_go_behind_every_turn(lost: list[str]) -> None:
    jobs = Jobs("docs.1")
    async with queue_at_work(jobs, lost) as queue:
        await queue.give_back(await queue.take(), 0.0)
        assert jobs.holder == {}
        assert await queue.take() == "docs.1"


async def test_a_job_that_embeds_again_is_kept_and_leaves_room_for_others(lost: list[str]) -> None:
    jobs = Jobs("new.reembed-1", "newer.reembed-2", "newest.reembed-3", "docs.1")
    async with queue_at_work(jobs, lost) as queue:
        taken = [await queue.take() for _ in range(4)]
        assert set(taken) == set(jobs.waiting)
        await queue.give_back("new.reembed-1", 0.0)
        assert await queue.take() == "new.reembed-1"
        assert jobs.holder["new.reembed-1"] == "a"


async def test_a_job_that_was_taken_away_is_told_and_gets_no_turn(lost: list[str]) -> None:
    jobs = Jobs("new.reembed-1")
    async with queue_at_work(jobs, lost) as queue:
        job_id = await queue.take()
        jobs.holder[job_id] = "b"
        while not lost:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.005)
        assert lost == [job_id]
        await queue.give_back(job_id, 0.0)
        jobs.waiting.append("docs.1")
        assert await queue.take() == "docs.1"
        assert jobs.holder[job_id] == "b"


async def test_jobs_are_looked_for_again_when_the_store_is_back(lost: list[str]) -> None:
    jobs = Jobs("docs.1")
    jobs.is_away = True
    async with queue_at_work(jobs, lost) as queue:
        await asyncio.sleep(0.02)
        jobs.is_away = False
        assert await queue.take() == "docs.1"


async def test_what_could_not_be_let_go_is_let_go_when_the_store_is_back(lost: list[str]) -> None:
    jobs = Jobs("docs.1")
    async with queue_at_work(jobs, lost) as queue:
        job_id = await queue.take()
        jobs.is_away = True
        await queue.give_back(job_id, 0.0)
        await asyncio.sleep(0.03)
        assert jobs.holder == {job_id: "a"}
        jobs.is_away = False
        assert await queue.take() == job_id


async def test_what_was_let_go_unheard_and_claimed_again_is_not_let_go_twice(
    lost: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Jobs("docs.1")
    async with queue_at_work(jobs, lost) as queue:
        job_id, leases = await queue.take(), queue._leases
        release = leases.release

        async def released_unheard(job_id: str, pause_s: float) -> None:
            await release(job_id, pause_s)
            await asyncio.sleep(0.03)
            raise StorageFailed("the answer is lost")

        monkeypatch.setattr(leases, "release", released_unheard)
        giving = asyncio.create_task(queue.give_back(job_id, 0.0))
        assert await queue.take() == job_id
        await giving
        monkeypatch.undo()
        await asyncio.sleep(0.03)
        assert jobs.holder == {job_id: "a"}


async def test_what_is_held_is_let_go_at_the_end(lost: list[str]) -> None:
    jobs = Jobs("new.reembed-1", "docs.1")
    queue = LeasedQueue(jobs.leases("a"))
    async with beside(queue.work(lost.append)):
        for _ in range(2):
            await queue.take()
    await queue.close()
    assert jobs.holder == {}
