"""Messages between a process and its children: a length (u32, little-endian), then a msgpack map.

Arrays travel as raw bytes in an extension type and come back read-only. Both ends
run the same code of the same installation, so there is no versioning here. Knows no processes.

Invariant: a frame is at most ``MAX_FRAME_BYTES`` long on both sides; a longer one is refused before
anything is sent, or before memory is given to it.
"""

import socket
import struct
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

MAX_FRAME_BYTES = 512 * 2**20

_LENGTH = struct.Struct("<I")
LENGTH_BYTES = _LENGTH.size
_ARRAY = 1  # the extension type's number

Message = dict[str, Any]


class FrameError(Exception):
    """The bytes are no frame, end in the middle of one, or are too many."""


def encode_frame(message: Mapping[str, Any]) -> bytes:
    """``message`` with its length in front.

    Raises:
        FrameError: it is longer than ``MAX_FRAME_BYTES``.
        TypeError: it holds something else than plain values and arrays.
    """
    body: bytes = msgpack.packb(message, default=_pack_array)
    _check_length(len(body))
    return _LENGTH.pack(len(body)) + body


def decode_body(body: bytes | bytearray) -> Message:
    """The message of a frame whose length is already cut off.

    Raises:
        FrameError: it is no msgpack map.
    """
    try:
        # Maps may be keyed by token ids; what is strict otherwise guards against strangers' keys.
        message = msgpack.unpackb(body, ext_hook=_unpack_array, strict_map_key=False)
    except Exception as error:  # msgpack documents a dozen kinds of its own; all mean the same here
        raise FrameError(f"a frame of {len(body)} bytes is no msgpack: {error}") from error
    if not isinstance(message, dict):
        raise FrameError(f"a frame holds a {type(message).__name__}, not a map")
    return message


def read_length(head: bytes | bytearray) -> int:
    """How long the body is that comes behind ``head``, the first ``LENGTH_BYTES``.

    Raises:
        FrameError: longer than ``MAX_FRAME_BYTES``.
    """
    length: int = _LENGTH.unpack(head)[0]
    _check_length(length)
    return length


def send_frame(sock: socket.socket, message: Mapping[str, Any]) -> None:
    """Writes one frame to a blocking socket."""
    sock.sendall(encode_frame(message))


def receive_frame(sock: socket.socket) -> Message | None:
    """The next frame of a blocking socket; None when the peer closed it between two frames."""
    head = _receive_exactly(sock, LENGTH_BYTES)
    if head is None:
        return None
    body = _receive_exactly(sock, read_length(head))
    if body is None:
        raise FrameError("the stream ends in the middle of a frame")
    return decode_body(body)


def _receive_exactly(sock: socket.socket, count: int) -> bytearray | None:
    """``count`` bytes, or None when the peer closed before the first of them."""
    buffer = bytearray(count)
    view = memoryview(buffer)
    filled = 0
    while filled < count:
        received = sock.recv_into(view[filled:])
        if received == 0:
            if filled:
                raise FrameError("the stream ends in the middle of a frame")
            return None
        filled += received
    return buffer


def _check_length(length: int) -> None:
    if length > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {length} bytes, limit {MAX_FRAME_BYTES}")


def _pack_array(value: object) -> msgpack.ExtType:
    if isinstance(value, np.generic):
        value = np.asarray(value)
    if not isinstance(value, np.ndarray) or value.dtype.hasobject:
        raise TypeError(f"frames carry plain values and numeric arrays, not {type(value).__name__}")
    packed = msgpack.packb((value.dtype.str, value.shape, value.tobytes()))
    return msgpack.ExtType(_ARRAY, packed)


def _unpack_array(code: int, data: bytes) -> npt.NDArray[Any]:
    if code != _ARRAY:
        raise FrameError(f"unknown extension type {code}")
    dtype, shape, raw = msgpack.unpackb(data, use_list=False)
    return np.frombuffer(raw, dtype=np.dtype(dtype)).reshape(shape)
