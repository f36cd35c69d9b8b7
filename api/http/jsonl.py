"""JSON Lines: documents of a collection as text, one a line, in both directions.

The first line of an export is the collection; an import may begin with it, and is refused if the vectors are
another model's. Vectors are base64 of little-endian float32, so they come back to the bit.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, suppress
from dataclasses import asdict
from typing import Any, Final

import msgspec
import structlog
from aiohttp import hdrs, web
from msgspec import UNSET

from api.errors import InvalidRequest, MalformedRequest, ModelChanged, PayloadTooLarge, RequestError
from api.http import wire
from api.schemas_transfer import CollectionLine, DocumentLine, PassageLine
from index.late import is_packed
from index.rows import CollectionSettings, Document, DocumentCopy, Passage, Stamps

log = structlog.get_logger()

JSON_LINES: Final = "application/x-ndjson"
_BLOCK_BYTES: Final = 2 * 2**20
_HEAD: Final = b'{"collection":'


async def stream(request: web.Request, blocks: AsyncGenerator[bytes, None]) -> web.StreamResponse:
    """Send the blocks. The first one is awaited before the headers go out, so that what fails at once gets
    its status; what fails later breaks the connection, so that nobody takes a part for the whole.
    """
    async with aclosing(blocks):
        first = await anext(blocks, b"")  # behind the last document there is nothing
        response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: JSON_LINES})
        with suppress(ConnectionError):  # the client left: nobody is there to hear of it
            await response.prepare(request)
            await response.write(first)
            try:
                async for block in blocks:
                    await response.write(block)
            except ConnectionError:
                raise
            except Exception:  # there is no status left to say it with
                log.exception("export_failed", path=request.path)
                assert request.transport is not None
                request.transport.abort()
                return response
            await response.write_eof()
    return response


def encode_head(settings: CollectionSettings) -> bytes:
    """The line that says what the documents are of."""
    return msgspec.json.encode(CollectionLine(asdict(settings))) + b"\n"


def encode_lines(copies: Iterable[DocumentCopy]) -> bytes:
    """A line for each document."""
    encoder = msgspec.json.Encoder()
    return encoder.encode_lines([_line(copy) for copy in copies])


def _line(copy: DocumentCopy) -> DocumentLine:
    document, stamps = copy.document, copy.stamps
    times: Any = (stamps.created_at, stamps.updated_at) if stamps else (None, None)
    expires_at: Any = document.expires_at
    return DocumentLine(
        id=document.id,
        title=document.title,
        text=document.text,
        metadata=dict(document.metadata),
        vector=_bytes(document.passages[0]) if document.is_point else UNSET,
        passages=UNSET if document.is_point else [_passage_line(each) for each in document.passages],
        media_type=document.media_type,
        content_hash=document.content_hash,
        expires_at=expires_at,
        acl=list(document.acl),
        version=stamps.version if stamps else None,
        created_at=times[0],
        updated_at=times[1],
    )


def _passage_line(passage: Passage) -> PassageLine:
    return PassageLine(
        start=passage.start,
        end=passage.end,
        vector=_bytes(passage),
        text=passage.text,
        page=passage.page,
        heading=passage.heading,
        tokens=passage.tokens,
        token_vectors=passage.token_vectors,
    )


def _bytes(passage: Passage) -> bytes:
    return passage.vector.astype("<f4", copy=False).tobytes()


async def blocks_of(request: web.Request, max_line_bytes: int) -> AsyncIterator[bytes]:
    """The body in pieces of whole lines.

    Raises:
        PayloadTooLarge: a line has more than ``max_line_bytes``.
    """
    buffer = bytearray()
    async for chunk in request.content.iter_any():
        buffer += chunk
        if len(buffer) < _BLOCK_BYTES:
            continue
        end = buffer.rfind(b"\n") + 1
        if end:
            yield bytes(buffer[:end])
            del buffer[:end]
        elif len(buffer) > max_line_bytes:
            raise PayloadTooLarge(f"a line is larger than max_json_bytes allows: {max_line_bytes} bytes")
    if buffer:
        yield bytes(buffer)


def decode_lines(block: bytes, first: int, settings: CollectionSettings) -> list[DocumentCopy]:
    """The documents of whole lines, the first of which has the number ``first`` (from 1).

    Raises:
        MalformedRequest, InvalidRequest: naming the line.
        ModelChanged: the vectors are of other weights than those of the collection.
    """
    copies = []
    for number, line in enumerate(block.split(b"\n"), start=first):
        try:
            if number == 1 and line.startswith(_HEAD):
                _check_head(wire.decode_json(line, CollectionLine), settings)
            elif line and not line.isspace():
                copies.append(_copy(wire.decode_json(line, DocumentLine), settings))
        except (MalformedRequest, InvalidRequest) as error:
            raise _at(number, error) from error
    return copies


def _at(number: int, error: RequestError) -> RequestError:
    return type(error)(f"line {number}: {error}", param=error.param, code=error.code)


def _check_head(head: CollectionLine, settings: CollectionSettings) -> None:
    theirs, ours = head.collection.get("model_sha256"), settings.model_sha256
    if theirs and ours and theirs != ours:
        raise ModelChanged(
            f"these vectors are of {head.collection.get('model')!r} with the weights {theirs}, those of "
            f"{settings.name!r} of {settings.model!r} with {ours}: ingest the documents instead"
        )


def _copy(line: DocumentLine, settings: CollectionSettings) -> DocumentCopy:
    if (line.vector is UNSET) == (line.passages is UNSET):
        raise InvalidRequest("send either `vector` (a point) or `passages` (a document)", param="vector")
    wire.check_metadata(line.metadata, "metadata")
    document = Document(
        id=line.id,
        title=line.title,
        text=line.text,
        metadata=line.metadata,
        passages=_passages(line, settings),
        content_hash=line.content_hash,
        media_type=line.media_type,
        is_point=line.passages is UNSET,
        expires_at=wire.moment_of(line.expires_at, "expires_at"),
        acl=tuple(line.acl),
    )
    return DocumentCopy(document, _stamps(line))


def _passages(line: DocumentLine, settings: CollectionSettings) -> tuple[Passage, ...]:
    if line.passages is UNSET:
        return (Passage(line.text, 0, len(line.text or ""), wire.vector_of(line.vector, "vector")),)
    length = None if line.text is None else len(line.text)
    return tuple(_passage(n, each, length, settings) for n, each in enumerate(line.passages))


def _passage(number: int, line: PassageLine, length: int | None, settings: CollectionSettings) -> Passage:
    where = f"passages.{number}"
    if line.start > line.end or (length is not None and line.end > length):
        raise InvalidRequest(
            f"{where} goes from {line.start} to {line.end}, which is not in its text", param=where
        )
    packed = line.token_vectors
    if packed is not None and (settings.token_vectors is None or not is_packed(packed, settings.dim)):
        raise InvalidRequest(f"{where}.token_vectors are not those of this collection", param=where)
    vector = wire.vector_of(line.vector, f"{where}.vector")
    return Passage(line.text, line.start, line.end, vector, line.page, line.heading, line.tokens, packed)


def _stamps(line: DocumentLine) -> Stamps | None:
    created_at = wire.moment_of(line.created_at, "created_at")
    updated_at = wire.moment_of(line.updated_at, "updated_at")
    if line.version is None and created_at is None and updated_at is None:
        return None
    if line.version is None or created_at is None or updated_at is None:
        raise InvalidRequest(
            "`version`, `created_at` and `updated_at` come together or not at all", param="version"
        )
    return Stamps(line.version, created_at, updated_at)
