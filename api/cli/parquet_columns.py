"""Columns of a Parquet file as values of the contract, checked, a batch of rows at a time.

What is wrong is said with its row, counted from 1, and its column.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn

import click
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_Check = Callable[[pa.DataType], bool]
_TEXTS: Final[tuple[_Check, ...]] = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
)
_LISTS: Final[tuple[_Check, ...]] = (
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_fixed_size_list,
)
_PLAIN: Final[tuple[_Check, ...]] = (
    *_TEXTS,
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_null,
)


class ParquetProblem(click.ClickException):
    """The file, or something in it, is not what can be imported."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a batch whose first row has the number ``first``; ``owners`` are the rows of the values,
    where they are not one for each row.
    """

    file: str
    name: str
    array: pa.Array
    first: int
    owners: Sequence[int] | None = None

    def wrong(self, index: int, why: str) -> NoReturn:
        row = self.first + (index if self.owners is None else self.owners[index])
        raise ParquetProblem(f"{self.file}: row {row:,}, column {self.name!r}: {why}")

    def unfit(self, wanted: str) -> NoReturn:
        kind = self.array.type
        raise ParquetProblem(f"{self.file}: column {self.name!r} has the type {kind}, which is not {wanted}")


def is_one_of(kind: pa.DataType, checks: tuple[_Check, ...]) -> bool:
    return any(check(kind) for check in checks)


def texts_of(column: Column) -> list[str | None]:
    if not is_one_of(column.array.type, (*_TEXTS, pa.types.is_null)):
        column.unfit("text")
    texts: list[str | None] = column.array.to_pylist()
    return texts


def ids_of(column: Column) -> list[str]:
    """Texts, or whole numbers as texts."""
    if pa.types.is_integer(column.array.type):
        column = replace(column, array=column.array.cast(pa.string()))
    return [column.wrong(n, "is null") if id_ is None else id_ for n, id_ in enumerate(texts_of(column))]


def moments_of(column: Column) -> list[str | None]:
    """RFC 3339, with as many digits as the column has; without a zone it is UTC."""
    kind = column.array.type
    if pa.types.is_null(kind):
        return [None] * len(column.array)
    if not pa.types.is_timestamp(kind):
        column.unfit("a moment (timestamp)")
    numbers = column.array.cast(pa.timestamp(kind.unit)).cast(pa.int64()).fill_null(0).to_numpy()
    texts = np.datetime_as_string(numbers.astype(f"datetime64[{kind.unit}]"))
    return [f"{text}Z" if valid else None for text, valid in zip(texts, column.array.is_valid(), strict=True)]


def values_of(column: Column) -> list[Any]:
    """What metadata has for the column: scalars and lists of them, moments as text; None where it is null."""
    kind = column.array.type
    if pa.types.is_timestamp(kind):
        return moments_of(column)
    if pa.types.is_date(kind):
        return [None if day is None else day.isoformat() for day in column.array.to_pylist()]
    is_list = is_one_of(kind, _LISTS)
    if not is_one_of(kind.value_type if is_list else kind, _PLAIN):
        column.unfit("what metadata can have: leave it out, or make text of it")
    values: list[Any] = column.array.to_pylist()
    for n, value in enumerate(values):
        for each in value if isinstance(value, list) else (value,):
            if isinstance(each, float) and not np.isfinite(each):
                column.wrong(n, f"is {each}, which JSON does not have")
    return values


def dim_of(array: pa.Array) -> int | None:
    """How many numbers the first vector has."""
    if not is_one_of(array.type, _LISTS):
        return None
    lengths: list[int] = pc.list_value_length(array).drop_null().to_pylist()
    return lengths[0] if lengths else None


def vectors_of(column: Column, dim: int) -> list[bytes | None]:
    """Little-endian float32, None where there is no vector."""
    array = column.array
    if pa.types.is_null(array.type):
        return [None] * len(array)
    if not is_one_of(array.type, _LISTS) or not pa.types.is_floating(array.type.value_type):
        column.unfit("a vector (a list of floats)")
    present = np.flatnonzero(array.is_valid().to_numpy(zero_copy_only=False))
    lengths = pc.list_value_length(array).drop_null().to_numpy()
    if len(odd := np.flatnonzero(lengths != dim)):
        has = lengths[odd[0]]
        column.wrong(int(present[odd[0]]), f"has {has:,} numbers, the collection's vectors have {dim:,}")
    matrix = _matrix(column, present, dim)
    vectors: list[bytes | None] = [None] * len(array)
    for index, row in zip(present.tolist(), matrix, strict=True):
        vectors[index] = row.tobytes()
    return vectors


def _matrix(column: Column, present: npt.NDArray[np.intp], dim: int) -> npt.NDArray[np.float32]:
    """The vectors that are there (n, dim), every number of them finite."""
    numbers = column.array.flatten()
    if numbers.null_count:
        hole = int(np.flatnonzero(numbers.is_null().to_numpy(zero_copy_only=False))[0])
        column.wrong(int(present[hole // dim]), f"the number {hole % dim + 1:,} of the vector is null")
    with np.errstate(over="ignore"):
        matrix: npt.NDArray[np.float32] = numbers.to_numpy().astype("<f4", copy=False).reshape(-1, dim)
    odd = np.argwhere(~np.isfinite(matrix))
    if len(odd):
        row, place = odd[0].tolist()
        column.wrong(int(present[row]), f"the number {place + 1:,} of the vector is {matrix[row, place]}")
    return matrix
