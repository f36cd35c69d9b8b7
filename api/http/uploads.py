"""Multipart uploads: files go to disk as they arrive and never lie in memory whole.

Parts: one or more ``file`` (its filename is the document's id), and for all files of the request ``metadata``
(JSON), ``password``, ``version``, ``expires_at`` and ``acl`` (JSON). What is not kept by a job is removed
when the request ends.
"""

import asyncio
import errno
import io
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from api.errors import InvalidRequest, MalformedRequest, PayloadTooLarge
from api.http import wire
from api.schemas import Acl, ExpiresAt, Version
from api.services.incoming import Incoming
from api.settings import Settings
from index.errors import StorageFailed, StorageFull, StoreError

_SPOOL = "spool"
_FIELD_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 18
_ESCAPES: Final = {"%22": '"', "%0D": "\r", "%0A": "\n"}
"""What browsers and most libraries write in a filename, and nothing else: a percent sign stays as it is
(https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data).
"""


def open_spool(data: Path) -> None:
    """Make the folder of running uploads, empty: what a crash left there was never acknowledged."""
    shutil.rmtree(data / _SPOOL, ignore_errors=True)
    (data / _SPOOL).mkdir(parents=True)


@dataclass(slots=True)
class _Form:
    files: list[Incoming] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)


@asynccontextmanager
async def receive_files(request: web.Request, settings: Settings) -> AsyncIterator[list[Incoming]]:
    """The uploaded documents, in order; their files are gone when the block ends.

    Raises:
        MalformedRequest: the body is not well-formed multipart.
        InvalidRequest: no file, a file without a name, a part that nobody knows, or one that makes no sense.
        PayloadTooLarge: a file or the number of files over its limit.
        StorageFull, StorageFailed: the disk does not take them.
    """
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=settings.data / _SPOOL))
    try:
        form = await _read_form(request, folder, settings)
        if not form.files:
            raise InvalidRequest("the form has no part named `file`", param="file")
        yield [replace(file, **form.fields) for file in form.files]
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _read_form(request: web.Request, folder: Path, settings: Settings) -> _Form:
    form = _Form()
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader):
                raise MalformedRequest("a part of the form is multipart itself: send plain files")
            await _read_part(part, form, folder, settings)
    except (ValueError, AssertionError) as error:
        raise MalformedRequest(f"the form cannot be read: {error}", code="malformed_body") from error
    except HttpProcessingError as error:
        raise MalformedRequest(f"the form cannot be read: {error.message}", code="malformed_body") from error
    return form


async def _read_part(part: BodyPartReader, form: _Form, folder: Path, settings: Settings) -> None:
    _refuse_unreadable(part)
    if part.name == "file":
        if len(form.files) == settings.max_documents_per_request:
            raise PayloadTooLarge(f"more than {len(form.files)} files in one request", param="file")
        form.files.append(await _save(part, folder / str(len(form.files)), settings.max_file_bytes))
    elif part.name is None:
        raise MalformedRequest("a part of the form has no name", code="malformed_body")
    elif part.name in _FIELDS:
        name, read = _FIELDS[part.name]
        form.fields[name] = read(await _read_field(part))
    else:
        known = ", ".join(f"`{name}`" for name in ("file", *_FIELDS))
        raise InvalidRequest(f"the form has an unknown part {part.name!r}: it takes {known}", param=part.name)


def _refuse_unreadable(part: BodyPartReader) -> None:
    """Aiohttp passes bytes that are not UTF-8 on as surrogates, which nothing behind it can keep or send."""
    for value in part.headers.values():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise MalformedRequest(
                "a part of the form has headers that are not UTF-8", code="malformed_body"
            ) from None


async def _save(part: BodyPartReader, place: Path, limit: int) -> Incoming:
    if not part.filename:
        raise InvalidRequest("a part named `file` needs a filename: it is the document's id", param="file")
    size = 0
    with await asyncio.to_thread(place.open, "wb", buffering=0) as file:
        while chunk := await part.read_chunk(_CHUNK_BYTES):
            size += len(chunk)
            if size > limit:
                raise PayloadTooLarge(f"{part.filename!r} is larger than {limit} bytes", param="file")
            try:
                await asyncio.to_thread(_write_all, file, chunk)
            except OSError as error:
                raise _disk_error(error) from error
    name = _unescaped(part.filename)
    return Incoming(id=name, upload=place, filename=name, media_type=part.headers.get("Content-Type"))


def _write_all(file: io.FileIO, chunk: bytes) -> None:
    """What the disk has no room for is an error only of a write that begins there."""
    left = memoryview(chunk)
    while left:
        left = left[file.write(left) :]


def _unescaped(filename: str) -> str:
    for escape, character in _ESCAPES.items():
        filename = filename.replace(escape, character)
    return filename


def _disk_error(error: OSError) -> StoreError:
    if error.errno == errno.ENOSPC:
        return StorageFull("no space is left on the disk for this upload; free some and try again")
    return StorageFailed(f"the upload could not be kept: {error.strerror}")


async def _read_field(part: BodyPartReader) -> bytes:
    body = bytearray()
    while chunk := await part.read_chunk(_CHUNK_BYTES):
        body += chunk
        if len(body) > _FIELD_BYTES:
            raise PayloadTooLarge(
                f"the part {part.name!r} is larger than {_FIELD_BYTES} bytes", param=part.name
            )
    return bytes(body)


def _metadata(body: bytes) -> dict[str, Any]:
    metadata: dict[str, Any] = _json("metadata", body, dict[str, Any])
    wire.check_metadata(metadata, "metadata")
    return metadata


def _expires_at(body: bytes) -> str | None:
    try:
        moment = msgspec.convert(body.decode(), ExpiresAt)
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"`expires_at` is no moment: {error}", param="expires_at") from error
    return wire.moment_of(moment, "expires_at")


def _json(name: str, body: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"`{name}` is not the JSON that it must be: {error}", param=name) from error


# What each field is in an incoming document, and how it is read.
_FIELDS: Final[Mapping[str, tuple[str, Callable[[bytes], Any]]]] = {
    "metadata": ("metadata", _metadata),
    "password": ("password", bytes.decode),
    "version": ("if_version", lambda body: _json("version", body, Version)),
    "expires_at": ("expires_at", _expires_at),
    "acl": ("acl", lambda body: tuple(_json("acl", body, Acl))),
}
