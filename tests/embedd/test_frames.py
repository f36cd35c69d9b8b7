"""Frames, over both kinds of stream."""

import asyncio
import socket
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from embedd.child import read_frame
from embedd.frames import FrameError, decode_body, encode_frame, receive_frame, send_frame

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(0, 2**31), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), plain, max_size=5))
def test_a_message_comes_back_as_it_was(message: dict[str, object]) -> None:
    assert decode_body(encode_frame(message)[4:]) == message


@given(
    arrays.arrays(
        dtype=st.sampled_from([np.float32, np.int32, np.int64, np.uint8, np.bool_]),
        shape=arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5),
    )
)
def test_an_array_keeps_its_type_shape_and_bits(array: np.ndarray) -> None:
    back = decode_body(encode_frame({"array": array.T})[4:])["array"]
    assert back.dtype == array.dtype
    assert back.shape == array.T.shape
    assert back.tobytes() == array.T.tobytes()


def test_a_numpy_scalar_travels_as_an_array_without_dimensions() -> None:
    assert decode_body(encode_frame({"x": np.float32(1.5)})[4:])["x"] == np.float32(1.5)


@pytest.mark.parametrize("value", [object(), np.array([object()])])
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="plain values and numeric arrays"):
        encode_frame({"value": value})


def test_sockets_carry_frames_one_after_the_other_and_end_between_two() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            send_frame(ours, {"n": 1})
            send_frame(ours, {"n": 2})
        assert receive_frame(theirs) == {"n": 1}
        assert receive_frame(theirs) == {"n": 2}
        assert receive_frame(theirs) is None


@pytest.mark.parametrize("cut", [2, 4, 7])
def test_a_stream_that_ends_in_the_middle_is_an_error(cut: int) -> None:
    frame = encode_frame({"key": "value"})
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(frame[:cut])
        with pytest.raises(FrameError, match="middle of a frame"):
            receive_frame(theirs)


@pytest.mark.parametrize("cut", [2, 4, 7])
async def test_an_async_stream_that_ends_in_the_middle_is_an_error(cut: int) -> None:
    reader = stream_of(encode_frame({"key": "value"})[:cut])
    with pytest.raises(FrameError, match="middle of a frame"):
        await read_frame(reader)


async def test_an_async_stream_carries_frames_and_ends_between_two() -> None:
    reader = stream_of(encode_frame({"n": 1}) + encode_frame({"n": 2}))
    assert await read_frame(reader) == {"n": 1}
    assert await read_frame(reader) == {"n": 2}
    assert await read_frame(reader) is None


async def test_a_length_over_the_limit_is_refused_before_memory_is_taken() -> None:
    with pytest.raises(FrameError, match="limit"):
        await read_frame(stream_of(struct.pack("<I", 2**32 - 1)))


@pytest.mark.parametrize("body", [b"\xc1", b"\x93\x01", b"\x01", b"\xc7\x01\x05x", b"\xc7\x01\x01\x05"])
def test_bytes_that_are_no_message_are_an_error(body: bytes) -> None:
    with pytest.raises(FrameError):
        decode_body(body)


def stream_of(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader
