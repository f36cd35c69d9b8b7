"""The thread for short work: in order, everyone told what is theirs, and gone when it is closed."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from index.one_thread import OneThread, ThreadClosed

NAME = "short work"


@pytest.fixture
async def thread() -> AsyncIterator[OneThread]:
    made = OneThread(NAME)
    yield made
    await made.close()


def threads() -> int:
    return sum(thread.name == NAME for thread in threading.enumerate())


def refuse() -> None:
    raise ValueError("no")


async def test_everyone_gets_their_own_answer_from_one_thread(thread: OneThread) -> None:
    assert threads() == 0
    answers = await asyncio.gather(*(thread.run(lambda n=n: 2 * n) for n in range(100)))
    assert answers == [2 * n for n in range(100)]
    assert threads() == 1


async def test_work_is_done_in_the_order_it_came(thread: OneThread) -> None:
    done: list[int] = []
    await asyncio.gather(*(thread.run(lambda n=n: done.append(n)) for n in range(100)))
    assert done == list(range(100))


async def test_work_that_fails_fails_for_the_one_who_gave_it(thread: OneThread) -> None:
    good, bad, after = await asyncio.gather(
        thread.run(lambda: 1), thread.run(refuse), thread.run(lambda: 2), return_exceptions=True
    )
    assert (good, str(bad), after) == (1, "no", 2)


async def test_one_who_leaves_does_not_take_the_others_along(thread: OneThread) -> None:
    leaving = asyncio.ensure_future(thread.run(lambda: 1))
    staying = asyncio.ensure_future(thread.run(lambda: 2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == 2
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_the_first_of_many_does_not_wait_for_the_last(thread: OneThread) -> None:
    held = threading.Event()
    first = asyncio.ensure_future(thread.run(lambda: 1))
    last = asyncio.ensure_future(thread.run(lambda: held.wait(30)))
    assert await first == 1
    assert not last.done()
    held.set()
    assert await last


async def test_what_was_given_before_the_end_is_done_and_then_the_thread_is_gone() -> None:
    thread = OneThread(NAME)
    given = [asyncio.ensure_future(thread.run(lambda n=n: n)) for n in range(40)]
    await asyncio.sleep(0)
    await thread.close()
    assert [await each for each in given] == list(range(40))
    assert threads() == 0
    with pytest.raises(ThreadClosed, match=NAME):
        await thread.run(lambda: 1)


async def test_what_was_never_used_has_nothing_to_end() -> None:
    thread = OneThread(NAME)
    await thread.close()
    assert threads() == 0
