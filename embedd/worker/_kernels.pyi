# kernels.cpp, compiled on installation. Addresses are of bfloat16 numbers, strides count them.

from typing import TypeAlias

_Part: TypeAlias = tuple[int, int, int]  # address, stride of a token, stride of a head

SUPPORTED: int

def attend(
    query: _Part,
    key: _Part,
    value: _Part,
    mixed: int,
    borders: int,
    sequences: int,
    heads: int,
    key_heads: int,
    d: int,
    longest: int,
    scale: float,
    causal: bool,
    window: int,
    threads: int,
    /,
) -> None: ...
