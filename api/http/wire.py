"""Bytes to typed requests and typed answers to bytes: JSON and msgpack, by Content-Type and Accept.

Knows no route and no use case. Vectors arrive as lists, base64 or raw little-endian float32 and become
float32 arrays in `vector_of`; in JSON they leave as lists, or in `Base64`, and in msgpack as raw bytes. Those
of int8 and uint8 leave in the same ways, a byte for each number.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar, get_type_hints

import msgspec
import numpy as np
import numpy.typing as npt
from aiohttp import web

from api.errors import InvalidRequest, MalformedRequest, UnsupportedMedia, WrongShape
from index.codec import timestamp

T = TypeVar("T")

JSON = "application/json"
MSGPACK = "application/msgpack"

INLINE_NUMBERS = 4096
"""What is written in less than a millisecond; answers of more numbers are written in a thread."""

_UNSAID = "application/octet-stream"  # what aiohttp takes a missing Content-Type for

_PATH = re.compile(r" - at `(?:key in )?\$\.?(?P<path>[^`]*)`$")
_UNKNOWN = re.compile(r"unknown field `(?P<field>[^`]*)`")


class Base64:
    """A vector that JSON carries as text. No dataclass: msgspec has its own way with these."""

    __slots__ = ("vector",)

    def __init__(self, vector: npt.NDArray[Any]) -> None:
        self.vector = vector


async def read_body(request: web.Request, kind: type[T]) -> T:
    """The request's body as a checked ``kind``.

    Raises:
        UnsupportedMedia: neither JSON nor msgpack.
        MalformedRequest: the bytes cannot be decoded.
        WrongShape: they can, and a field is missing, unknown, of the wrong type or out of range.
    """
    body = await request.read()
    if request.content_type == MSGPACK:
        return _decode(msgspec.msgpack.decode, body, kind, "msgpack")
    if request.content_type in (JSON, _UNSAID) or request.content_type.endswith("+json"):
        return decode_json(body, kind)
    raise UnsupportedMedia(
        f"Content-Type is {request.content_type!r}: send {JSON} or {MSGPACK}", code="unsupported_media_type"
    )


def read_query(request: web.Request, kind: type[T]) -> T:
    """The address line's parameters as a checked ``kind``; ``?wait`` alone means true.

    Raises:
        WrongShape: an unknown parameter or a value of the wrong type.
    """
    hints = get_type_hints(kind) if request.query else {}
    values = {
        name: "true" if value == "" and hints.get(name) is bool else value
        for name, value in request.query.items()
    }
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error


def decode_json(text: bytes, kind: type[T]) -> T:
    """A checked ``kind`` from JSON.

    Raises:
        MalformedRequest: it is no JSON.
        WrongShape: a field is missing, unknown, of the wrong type or out of range.
    """
    return _decode(msgspec.json.decode, text, kind, "JSON")


def checked(values: Mapping[str, Any], kind: type[T]) -> T:
    """A checked ``kind`` from values that were decoded elsewhere.

    Raises:
        WrongShape: a field is missing, unknown, of the wrong type or out of range.
    """
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error


def encode(answer: object, accept: str) -> tuple[bytes, str]:
    """The answer's bytes and their Content-Type: msgpack if asked for, else JSON."""
    if wants_msgpack(accept):
        return msgspec.msgpack.encode(answer, enc_hook=_raw_vector), MSGPACK
    return encode_json(answer), JSON


def encode_json(answer: Any) -> bytes:
    return msgspec.json.encode(answer, enc_hook=_vector_list)


def wants_msgpack(accept: str) -> bool:
    return MSGPACK in accept


def vector_of(value: object, param: str) -> npt.NDArray[np.float32]:
    """A client's vector as float32 (dim,), not to be written to; its length and values are checked by the
    index.

    Raises:
        InvalidRequest: not numbers, not base64, or bytes that are no whole number of float32.
    """
    if isinstance(value, str):
        value = _from_base64(value, param)
    if isinstance(value, bytes):
        if len(value) % 4:
            raise InvalidRequest(f"{param} has {len(value)} bytes, not a multiple of 4", param=param)
        return np.frombuffer(value, dtype="<f4").astype(np.float32, copy=False)
    if not isinstance(value, list) or not all(type(number) in (int, float) for number in value):
        raise InvalidRequest(f"{param} must be numbers, base64 or raw float32", param=param)
    try:
        with np.errstate(over="ignore"):
            return np.array(value, dtype=np.float64).astype(np.float32)
    except OverflowError as error:
        raise InvalidRequest(f"{param} has a number that is too large", param=param) from error


def check_metadata(metadata: Mapping[str, Any], param: str) -> None:
    """Refuse what could be kept and then not be sent back in both encodings.

    Raises:
        InvalidRequest: an integer beyond 64 bits, a key that is no text, or a value that is no JSON.
    """
    try:
        msgspec.json.encode(metadata)
        msgspec.msgpack.encode(metadata)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidRequest(f"{param} cannot be kept: {error}", param=param) from error


def moment_of(value: datetime | None, param: str) -> str | None:
    """A client's moment as the index keeps it: in UTC, to the millisecond.

    Raises:
        InvalidRequest: in UTC it is outside of the years 1 to 9999.
    """
    try:
        return None if value is None else timestamp(value)
    except OverflowError as error:
        raise InvalidRequest(f"{param} is out of range", param=param) from error


def _from_base64(value: str, param: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"{param} is not valid base64: {error}", param=param) from error


def _decode(decode: Callable[..., T], body: bytes, kind: type[T], name: str) -> T:
    try:
        return decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedRequest(f"the body is not valid {name}: {error}", code="malformed_body") from error


def _invalid(error: msgspec.ValidationError) -> WrongShape:
    message = str(error)
    path = _PATH.search(message)
    unknown = _UNKNOWN.search(message)
    parts = [part for part in (path and path["path"], unknown and unknown["field"]) if part]
    return WrongShape(message.replace("`$.", "`"), param=".".join(parts) or None)


def _vector_list(value: object) -> Any:
    if isinstance(value, Base64):
        return base64.b64encode(_bytes_of(value.vector)).decode("ascii")
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise NotImplementedError(f"cannot encode {type(value).__name__}")


def _raw_vector(value: object) -> Any:
    if isinstance(value, Base64):
        return _bytes_of(value.vector)
    if isinstance(value, np.ndarray):
        return _bytes_of(value)
    raise NotImplementedError(f"cannot encode {type(value).__name__}")


def _bytes_of(vector: npt.NDArray[Any]) -> bytes:
    """Little-endian float32, as OpenAI's clients decode it, or the bytes of int8 and uint8."""
    return (vector if vector.dtype.itemsize == 1 else vector.astype("<f4")).tobytes()
