"""Whether a store elsewhere answers."""

import asyncio
from collections.abc import Callable

import pytest

from api.services.store_watch import StoreWatch
from embedd.ownership import beside
from index.errors import StorageFailed


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.001)


async def test_a_store_that_goes_is_told_with_its_reason_and_one_that_comes_back_is_not() -> None:
    fails = [False]

    async def look() -> None:
        if fails[0]:
            raise StorageFailed("the door is shut")

    watch = StoreWatch("catalog", look, 0.001)
    async with beside(watch.follow()):
        assert watch.reason == ""
        fails[0] = True
        await until(lambda: watch.reason == "the door is shut")
        fails[0] = False
        await until(lambda: watch.reason == "")


async def test_a_store_that_does_not_answer_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.services.store_watch._ANSWERS_WITHIN_S", 0.01)
    watch = StoreWatch("catalog", asyncio.Event().wait, 0.001)  # type: ignore[arg-type] # it gives nothing
    async with beside(watch.follow()):
        await until(lambda: "did not answer" in watch.reason)
