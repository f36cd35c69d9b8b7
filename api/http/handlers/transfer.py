"""Export and import: all documents of a collection, with vectors and versions, as JSON Lines."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from typing import TypeVar, cast

from aiohttp import web

from api.http import jsonl
from api.http.routing import Call
from api.schemas import NoQuery
from api.schemas_transfer import ExportQuery, Imported
from index.rows import DocumentCopy
from index.store import Store

T = TypeVar("T")


async def export(call: Call[None, ExportQuery]) -> web.StreamResponse:
    """All documents and points, one JSON object a line, by id."""
    store = call.services.catalog.get(call.path["name"])
    return await jsonl.stream(call.request, _exported(store, call.query.after))


async def import_lines(call: Call[None, NoQuery]) -> Imported:
    """Write documents and points as they were exported, line by line."""
    store = call.services.catalog.get(call.path["name"])
    answer, number = Imported(imported=0, unchanged=0), 1
    copies: list[DocumentCopy] = []
    async for block in jsonl.blocks_of(call.request, call.services.settings.max_json_bytes):
        reading = asyncio.to_thread(jsonl.decode_lines, block, number, store.settings)
        copies = await _beside(_write(store, copies, answer), reading)
        number += block.count(b"\n")
    await _write(store, copies, answer)
    return answer


async def _beside(writing: Awaitable[None], reading: Awaitable[T]) -> T:
    """What is read while the lines before it are written; both are at their end."""
    written, read = await asyncio.gather(writing, reading, return_exceptions=True)
    for outcome in (written, read):
        if isinstance(outcome, BaseException):
            raise outcome
    return cast("T", read)


async def _exported(store: Store, after: str | None) -> AsyncGenerator[bytes, None]:
    if after is None:
        yield jsonl.encode_head(store.settings)
    while page := await store.copies(after):
        yield await asyncio.to_thread(jsonl.encode_lines, page)
        after = page[-1].document.id


async def _write(store: Store, copies: Sequence[DocumentCopy], answer: Imported) -> None:
    """Count in ``answer`` what is written, and what is there with the same stamps, which is left as it is: so
    an import that broke off can be sent again.
    """
    there = await store.stamps([copy.document.id for copy in copies if copy.stamps])
    fresh = [copy for copy in copies if copy.stamps is None or there.get(copy.document.id) != copy.stamps]
    if fresh:
        stamps = {copy.document.id: copy.stamps for copy in fresh if copy.stamps}
        await store.upsert([copy.document for copy in fresh], stamps=stamps)
    answer.imported += len(fresh)
    answer.unchanged += len(copies) - len(fresh)
