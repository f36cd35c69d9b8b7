"""Whoever copies may be stopped at any step, and goes on."""

from typing import Any

import pytest
from copying_places import MakeCopy, Place
from store_samples import document_of

from index.copying import collection as copying
from index.copying.comparison import compare
from index.copying.marks import Mark, Marks
from index.store import Store
from index.writer import Change


class Stopped(Exception):
    """As if whoever copies was killed."""


class StoppingMarks:
    """Marks that are kept, or not, so many times before the end."""

    def __init__(self, marks: Marks, writes: int) -> None:
        self._marks = marks
        self._left = writes

    async def read(self, name: str) -> Mark | None:
        return await self._marks.read(name)

    async def write(self, name: str, mark: Mark) -> None:
        if self._left == 0:
            raise Stopped
        self._left -= 1
        await self._marks.write(name, mark)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page has whole documents: of the "notes" it has all, so pages are cut for these tests."""
    monkeypatch.setattr(copying, "BATCH_PASSAGES", 1)
    monkeypatch.setattr(copying, "_PAGE", 3)
    monkeypatch.setattr("index.transfer.PAGE_PASSAGES", 5)


async def test_stopped_at_any_step_it_loses_and_doubles_nothing(
    notes: Store, target: Place, make_copy: MakeCopy
) -> None:
    for _ in range(40):
        try:
            await make_copy(marks=StoppingMarks(target[1], 1)).catch_up()
            break
        except Stopped:
            await notes.upsert([document_of("d005", 50), document_of("also", 3)])
    mark = await target[1].read("notes")
    assert mark is not None
    assert not mark.filling
    copy = make_copy()
    await copy.catch_up()
    comparison = await compare(copy.copies[0])
    assert comparison.agrees
    assert comparison.source.documents == 12
    assert await copy.copies[0].target.count() == await notes.count()


async def test_it_goes_on_behind_what_is_there(notes: Store, target: Place, make_copy: MakeCopy) -> None:
    with pytest.raises(Stopped):
        await make_copy(marks=StoppingMarks(target[1], 4)).catch_up()
    there = await target[0].get("notes")
    before = (await there.changes(0, 0)).until
    await make_copy().catch_up()
    rewritten = (await there.changes(0, 0)).until - 11
    assert before > 5
    assert rewritten <= 6, "those of two batches whose mark was not kept"


async def test_when_the_history_is_lost_it_begins_again_and_what_is_gone_goes(
    notes: Store, target: Place, make_copy: MakeCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_copy().catch_up()
    await notes.delete(["d001", "d004"])
    await notes.upsert([document_of("new", 1)])
    await _forget(notes)
    copy = make_copy()
    await copy.catch_up()
    there = await target[0].get("notes")
    assert await there.stamps(["d001", "d004", "new"]) == await notes.stamps(["new"])
    assert (await compare(copy.copies[0])).agrees


async def _forget(store: Any) -> None:
    def write(connection: Any) -> Change[None]:
        connection.execute("UPDATE history SET forgotten = last - 1")
        connection.execute("DELETE FROM deletions")
        return Change(None)

    await store._write(write)
