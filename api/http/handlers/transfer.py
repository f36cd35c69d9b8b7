"""Export and import: all documents of a collection, with vectors and versions, as JSON Lines."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from typing import cast

from aiohttp import web

from api.http import jsonl
from api.http.routing import Call
from api.schemas import NoQuery
from api.schemas_transfer import ExportQuery, Imported
from index.rows import DocumentCopy
from index.store import Store


async def export(call: Call[None, ExportQuery]) -> web.StreamResponse:
    """All documents and points, one JSON object a line, by id."""
    store = await call.services.catalog.get(call.path["name"])
    return await jsonl.stream(call.request, _exported(store, call.query.after))


async def import_lines(call: Call[None, NoQuery]) -> Imported:
    """Write documents and points as they were exported, line by line."""
    store = await call.services.catalog.get(call.path["name"])
    answer, number = Imported(imported=0, unchanged=0), 1
    blocks = aiter(jsonl.blocks_of(call.request, call.services.settings.max_json_bytes))
    block: bytes = await anext(blocks, b"")
    copies: list[DocumentCopy] = []
    while block or copies:
        # The next block is received and the one that has come is read while the one before is written.
        reading = asyncio.to_thread(jsonl.decode_lines, block, number, store.settings)
        number += block.count(b"\n")
        copies, block = await _at_once(_write(store, copies, answer), reading, anext(blocks, b""))
    return answer


async def _at_once(
    writing: Awaitable[None], reading: Awaitable[list[DocumentCopy]], receiving: Awaitable[bytes]
) -> tuple[list[DocumentCopy], bytes]:
    """What was read and what was received; all three are at their end. What is wrong with the lines before
    is said first.
    """
    outcomes = await asyncio.gather(writing, reading, receiving, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return cast("tuple[list[DocumentCopy], bytes]", outcomes[1:])


async def _exported(store: Store, after: str | None) -> AsyncGenerator[bytes, None]:
    if after is None:
        yield jsonl.encode_head(store.settings)
    page = await store.copies(after)
    while page:
        # The next page is read while the one before is written.
        writing = asyncio.to_thread(jsonl.encode_lines, page)
        lines, page = await asyncio.gather(writing, store.copies(page[-1].document.id))
        yield lines


async def _write(store: Store, copies: Sequence[DocumentCopy], answer: Imported) -> None:
    """Count in ``answer`` what is written, and what is there with the same stamps, which is left as it is: so
    an import that broke off can be sent again.
    """
    if not copies:
        return
    stamped = [copy.document.id for copy in copies if copy.stamps]
    there = await store.stamps(stamped) if stamped else {}
    fresh = [copy for copy in copies if copy.stamps is None or there.get(copy.document.id) != copy.stamps]
    if fresh:
        stamps = {copy.document.id: copy.stamps for copy in fresh if copy.stamps}
        await store.upsert([copy.document for copy in fresh], stamps=stamps)
    answer.imported += len(fresh)
    answer.unchanged += len(copies) - len(fresh)
