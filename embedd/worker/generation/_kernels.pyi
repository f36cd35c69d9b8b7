# kernels.cpp, compiled on installation. Addresses are of float32 numbers where nothing else is said, strides
# count them; 0 stands for none.

from typing import TypeAlias

_Part: TypeAlias = tuple[int, int, int]  # address, stride of a token, stride of a head

PANEL: int

def multiply(
    rows: tuple[int, int, int, int],  # address, count, depth, stride
    weights: tuple[int, int, int],  # address of panels, their type, address of scales
    bias: int,
    products: int,
    columns: int,
    threads: int,
    /,
) -> None: ...
def attend(
    query: _Part,
    key: _Part,
    value: _Part,
    pages: tuple[int, int, bool],  # addresses of keys and of values, whether they are bfloat16
    mixed: int,
    spans: tuple[int, int, int, int, int],  # addresses of borders, before and tables; sequences, width
    heads: int,
    key_heads: int,
    d: int,
    scale: float,
    softcap: float,
    window: int,
    threads: int,
    /,
) -> None: ...
