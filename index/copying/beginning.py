"""Where a copy begins: anew, or where an earlier attempt was cut short; never over what is not a copy's."""

from typing import Final

from index.copying import collection
from index.copying.marks import Mark, Marks
from index.copying.source import Source
from index.errors import CopyRefused, HistoryLost
from index.store import Store

_PAGE: Final = 512


async def find_mark(source: Source, target: Store | None, name: str, marks: Marks) -> Mark | None:
    """How far a copy of ``source`` in ``target``, called ``name``, has come; None if it is to begin.

    Raises:
        CopyRefused: what is there is not, or not only, an earlier attempt of this copy.
    """
    if target is None:
        return None
    mark = await marks.read(name)
    if mark is None:
        if await target.documents(1):
            raise CopyRefused(
                f"{name!r} has documents that no copy has written: drop it there, or copy as another one"
            )
        return None
    now = await source.changes(0, 0)
    if now.history != mark.source:
        raise CopyRefused(
            f"{name!r} is a copy of another collection than {source.settings.name!r} of this source: drop it"
            " there, or copy as another one"
        )
    if await _is_anothers(target, mark):
        raise CopyRefused(
            f"{name!r} was written to by others since it was copied, which going on could undo: drop it"
            " there, or copy as another one"
        )
    return mark


async def _is_anothers(target: Store, mark: Mark) -> bool:
    """Whether more was written than what a copy may have that was stopped before it kept its mark."""
    moment, documents = mark.written, 0
    try:
        while (page := await target.changes(moment, _PAGE)).until > moment:
            moment = page.until
            documents += len(page.copies)
            if documents > collection.AT_ONCE * collection.MOST_DOCUMENTS:
                return True
    except HistoryLost:
        return True
    return False


async def begin(source: Source, target: Store, marks: Marks) -> Mark:
    """Keep the mark of a copy that is to be filled."""
    now = await source.changes(0, 0)
    written = (await target.changes(0, 0)).until
    mark = Mark(now.history, now.until, written, filling=True)
    await marks.write(target.settings.name, mark)
    return mark
