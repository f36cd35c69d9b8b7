"""One collection that becomes what another one is: filled by id, then changed as that one changes.

Every step leaves behind it a mark that says less than what is there, and may be taken again: a document is
written as it is in the source by then, under its own id. So whoever is killed loses nothing and doubles
nothing.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

from index.codec import passage_ids, timestamp
from index.copying.digests import digest_of
from index.copying.marks import Mark, Marks
from index.copying.source import Source
from index.errors import CopyRefused, HistoryLost, InvalidId
from index.paging import pages
from index.rows import Changes, DocumentCopy
from index.store import Store

# What is written together: about so many passages, and not over so many documents.
BATCH_PASSAGES: Final = 2_048
MOST_DOCUMENTS: Final = 4_096
AT_ONCE: Final = 2
_PAGE: Final = 512


@dataclass(frozen=True, slots=True)
class Step:
    """What was just done in the collection ``name``: so many documents and passages were written, and
    ``behind`` changes are still to come; None while it is being filled.
    """

    name: str
    documents: int
    passages: int
    behind: int | None


Tell = Callable[[Step], None]


class CollectionCopy:
    """Of ``source`` in ``target``, of which ``mark`` says how far it has come.

    ``differing`` has the ids of the documents that were changed in the target, and are not there as they were
    written.
    """

    def __init__(self, source: Source, target: Store, marks: Marks, mark: Mark, tell: Tell) -> None:
        self.source = source
        self.target = target
        self.differing: set[str] = set()
        self._marks = marks
        self._mark = mark
        self._tell = tell

    @property
    def name(self) -> str:
        """That of the target."""
        return self.target.settings.name

    async def catch_up(self) -> set[str]:
        """Until all is there that had happened when this was called; gives the ids of the documents that
        have changed, but for those that the collection was filled with.

        Raises:
            CopyRefused: the source is another collection now.
        """
        if self._mark.filling:
            await self._fill()
        try:
            return await self._follow()
        except HistoryLost:
            now = await self._now()
            await self._keep(replace(self._mark, moment=now.until, filling=True, behind=""))
            await self._fill()
            return await self._follow()

    async def _now(self) -> Changes:
        now = await self.source.changes(0, 0)
        self._check_history(now)
        return now

    def _check_history(self, page: Changes) -> None:
        if page.history != self._mark.source:
            raise CopyRefused(
                f"{self.source.settings.name!r} is not the collection any more that {self.name!r} is a copy"
                " of: drop the copy, and begin again"
            )

    async def _keep(self, mark: Mark) -> None:
        mark = replace(mark, written=(await self.target.changes(0, 0)).until)
        await self._marks.write(self.name, mark)
        self._mark = mark

    async def _fill(self) -> None:
        """All that the source has; what happened since the mark was set is left to who follows."""
        async with aclosing(self._written(self._mark.behind or None)) as batches:
            async for batch in batches:
                await self._keep(replace(self._mark, behind=batch[-1].document.id))
                self._tell(_step(self.name, batch, None))
        await self._remove_what_is_gone()
        await self._keep(replace(self._mark, filling=False, behind=""))

    async def _written(self, behind: str | None) -> AsyncGenerator[list[DocumentCopy], None]:
        """What the source has behind that id, in order, as soon as it is in the target. The next batch is
        made ready while one is written.
        """
        under_way: deque[tuple[list[DocumentCopy], asyncio.Task[None]]] = deque()
        try:
            async with aclosing(self._batches(behind)) as batches:
                async for batch in batches:
                    under_way.append((batch, asyncio.create_task(self._write(batch))))
                    if len(under_way) == AT_ONCE:
                        await under_way[0][1]
                        yield under_way.popleft()[0]
            while under_way:
                await under_way[0][1]
                yield under_way.popleft()[0]
        finally:
            for _, writing in under_way:
                writing.cancel()
                await asyncio.wait([writing])

    async def _batches(self, behind: str | None) -> AsyncGenerator[list[DocumentCopy], None]:
        """All documents behind that id; the next ones are read while the last ones are written."""
        batch: list[DocumentCopy] = []
        async with aclosing(pages(self.source.copies, lambda copy: copy.document.id, behind)) as read:
            async for page in read:
                batch += page
                if len(batch) + _PAGE > MOST_DOCUMENTS or _passages(batch) >= BATCH_PASSAGES:
                    yield batch
                    batch = []
        if batch:
            yield batch

    async def _remove_what_is_gone(self) -> None:
        """A copy that began again has documents whose deletion is forgotten."""
        after = None
        while page := await self.target.documents(_PAGE, after):
            ids = [document.id for document in page]
            there = await self.source.stamps(ids)
            if gone := [id_ for id_ in ids if id_ not in there]:
                await self.target.delete(gone)
            after = ids[-1]

    async def _follow(self) -> set[str]:
        """Read the history to where it is now."""
        changed: set[str] = set()
        last = (await self._now()).until
        while self._mark.moment < last:
            page = await self.source.changes(self._mark.moment, _PAGE)
            self._check_history(page)
            before = (await self.target.changes(0, 0)).until
            if page.deleted:
                await self.target.delete(page.deleted)
            await self._write(page.copies)
            await self._read_back(page, before)
            await self._keep(replace(self._mark, moment=page.until))
            changed.update(page.deleted, (copy.document.id for copy in page.copies))
            self._tell(_step(self.name, page.copies, max(0, last - page.until)))
        return changed

    async def _write(self, copies: Sequence[DocumentCopy]) -> None:
        if not copies:
            return
        documents = [copy.document for copy in copies]
        stamps = {copy.document.id: copy.stamps for copy in copies if copy.stamps is not None}
        try:
            await self.target.upsert(documents, stamps=stamps)
        except InvalidId:
            # Of a document that has changed since, the copy has passages whose ids others have by now. Its
            # own turn is still to come.
            ids = [id_ for document in documents for id_ in passage_ids(document)]
            holders = {point.document_id for point in await self.target.points(ids)}
            stale = holders.difference(document.id for document in documents)
            if not stale:
                raise
            await self.target.delete(sorted(stale))
            await self.target.upsert(documents, stamps=stamps)

    async def _read_back(self, page: Changes, before: int) -> None:
        """Hold what was written against what the target says that has changed in it behind ``before``."""
        found: dict[str, int] = {}
        while (written := await self.target.changes(before, _PAGE)).until > before:
            found |= {copy.document.id: digest_of(copy) for copy in written.copies}
            before = written.until
        now = timestamp()
        wanted = {
            copy.document.id: digest_of(copy)
            for copy in page.copies
            if copy.document.expires_at is None or copy.document.expires_at > now
        }
        self.differing -= set(page.deleted) | wanted.keys()
        self.differing |= {id_ for id_, digest in wanted.items() if found.get(id_) != digest}
        self.differing |= found.keys() & set(page.deleted)


def _passages(copies: Sequence[DocumentCopy]) -> int:
    return sum(len(copy.document.passages) for copy in copies)


def _step(name: str, copies: Sequence[DocumentCopy], behind: int | None) -> Step:
    return Step(name, len(copies), _passages(copies), behind)
