"""Vectors between numpy and pgvector's binary form: how many numbers, two bytes that mean nothing yet, and
the numbers, all big-endian.
"""

import struct
from typing import Final

import numpy as np

from index.rows import Vector

_HEAD: Final = struct.Struct(">HH")


def encode_vector(vector: Vector) -> bytes:
    """A vector (dim,) as pgvector reads it."""
    return _HEAD.pack(vector.shape[0], 0) + vector.astype(">f4").tobytes()


def encode_vectors(matrix: Vector) -> list[bytes]:
    """The rows (n, dim) as pgvector reads them."""
    head = _HEAD.pack(matrix.shape[1], 0)
    return [head + row.tobytes() for row in matrix.astype(">f4")]


def decode_vector(encoded: bytes) -> Vector:
    """The vector (dim,) that pgvector gives."""
    return np.frombuffer(encoded, dtype=">f4", offset=_HEAD.size).astype(np.float32)
