"""Waiting for news."""

import asyncio

from embedd.broadcast import Broadcast


async def test_all_who_wait_are_woken_and_those_who_come_later_wait_for_the_next() -> None:
    news, woken = Broadcast(), []

    async def wait(name: str) -> None:
        await news.received()
        woken.append(name)

    async with asyncio.TaskGroup() as group:
        first = [group.create_task(wait(name)) for name in ("one", "two")]
        await asyncio.sleep(0)
        news.send()
        late = group.create_task(wait("late"))
        await asyncio.wait(first)
        assert sorted(woken) == ["one", "two"]
        assert not late.done()
        news.send()


async def test_who_waits_for_so_long_goes_on_without_news() -> None:
    await Broadcast().received(within_s=0.001)
    await Broadcast().received(within_s=-1)
