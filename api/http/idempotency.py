"""Idempotency-Key: a write that a client may send again when it did not hear the answer.

The key belongs to one request: method, path, query, If-Match and body. Of a form, whose bytes differ from one
try to the next, the files and fields count.
"""

import asyncio
import hashlib
import re
from collections.abc import Sequence

import msgspec
from aiohttp import hdrs, web

from api.errors import MalformedRequest
from api.services.incoming import Incoming, fingerprint
from index.rows import Once

HEADER = "Idempotency-Key"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
# So much is hashed in passing, more of it in a thread.
_INLINE_BYTES = 1 << 20


async def once_of(request: web.Request) -> Once | None:
    """What makes this request the same as another one; None without a key.

    Raises:
        MalformedRequest: the key is empty, over 255 characters, or not visible ASCII.
    """
    key = _key(request)
    if key is None:
        return None
    body = await request.read()
    if len(body) <= _INLINE_BYTES:
        return Once(key, _digest(request, body))
    return Once(key, await asyncio.to_thread(_digest, request, body))


async def once_of_files(request: web.Request, files: Sequence[Incoming]) -> Once | None:
    """The same for a form that was received."""
    key = _key(request)
    return None if key is None else Once(key, await asyncio.to_thread(_digest_of_files, request, files))


def _key(request: web.Request) -> str | None:
    key = request.headers.get(HEADER)
    if key is not None and not _KEY.fullmatch(key):
        raise MalformedRequest(
            f"{HEADER} has 1 to 255 visible ASCII characters, such as those of a UUID", param=HEADER
        )
    return key


def _digest_of_files(request: web.Request, files: Sequence[Incoming]) -> bytes:
    each = [(file.id, file.password, file.if_version, fingerprint(file, "")) for file in files]
    return _digest(request, msgspec.msgpack.encode(each))


def _digest(request: web.Request, body: bytes) -> bytes:
    conditions = request.headers.getall(hdrs.IF_MATCH, [])
    head = msgspec.msgpack.encode([request.method, request.path, request.query_string, conditions])
    return hashlib.blake2b(head + body, digest_size=20).digest()
