"""From a Parquet file, an exported one or one from elsewhere, to the lines of an import.

An exported file has its collection in its metadata and the columns of ``parquet_schema``. One from elsewhere
needs ``id`` and ``vector``; what is in no column of the contract becomes metadata.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import UNSET

from api.cli.parquet_columns import (
    Column,
    ParquetProblem,
    dim_of,
    ids_of,
    moments_of,
    texts_of,
    values_of,
    vectors_of,
)
from api.cli.parquet_schema import SETTINGS_KEY, schema_of, settings_of
from api.schemas_transfer import CollectionLine, DocumentLine, PassageLine

ROWS: Final = 1_000
_ELSEWHERE: Final = ("id", "title", "text", "metadata", "vector", "expires_at", "acl")
# What pandas calls the row numbers that it writes.
_ROW_NUMBERS: Final = re.compile(r"__index_level_\d+__")


class ParquetSource:
    """An open file; ``settings`` are those of the collection that it was exported from, or what its vectors
    say of one.
    """

    def __init__(self, name: str, file: pq.ParquetFile) -> None:
        self._name = name
        self._file = file
        try:
            self._exported = settings_of(file.schema_arrow)
        except ValueError as error:
            raise ParquetProblem(f"{name}: its {SETTINGS_KEY.decode()!r} cannot be read: {error}") from error
        self._check_columns(file.schema_arrow)
        self.settings = self._exported or {"dim": self._dim()}

    @property
    def head(self) -> bytes:
        """The line that says what the documents are of."""
        return msgspec.json.encode(CollectionLine(self.settings)) + b"\n"

    def lines(self, dim: int) -> Iterator[bytes]:
        """A line for each row, in order, with vectors of ``dim`` numbers.

        Raises:
            ParquetProblem: naming what is wrong, at the first line that cannot be made.
        """
        encoder, first = msgspec.json.Encoder(), 1
        for batch in self._batches():
            for line in self._documents(batch, first, dim):
                yield encoder.encode(line) + b"\n"
            first += batch.num_rows

    def _check_columns(self, schema: pa.Schema) -> None:
        wanted = [(name, None) for name in ("id", "vector")]
        if self._exported is not None:
            wanted = [(field.name, field.type) for field in schema_of(self._exported)]
        for name, kind in wanted:
            if (count := schema.names.count(name)) != 1:
                raise ParquetProblem(f"{self._name}: {count} columns have the name {name!r}, one is needed")
            if kind not in (None, found := schema.field(name).type):
                raise ParquetProblem(
                    f"{self._name}: column {name!r} has the type {found}, exports have {kind}; without "
                    f"{SETTINGS_KEY.decode()!r} in the file's metadata it is read as one from elsewhere"
                )

    def _dim(self) -> int | None:
        """Of the first vector there is."""
        for batch in self._batches(["vector"]):
            if (dim := dim_of(batch.column(0))) is not None:
                return dim
        return None

    def _batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        with _in_words(self._name):
            yield from self._file.iter_batches(ROWS, columns=columns)

    def _documents(self, batch: pa.RecordBatch, first: int, dim: int) -> Iterator[DocumentLine]:
        columns = {
            name: Column(self._name, name, _decoded(array), first)
            for name, array in zip(batch.schema.names, batch.columns, strict=True)
        }
        if self._exported is not None:
            return _exported(columns, dim)
        return _from_elsewhere(columns, dim)


@contextmanager
def open_parquet(path: Path) -> Iterator[ParquetSource]:
    """The file at ``path``, read little by little.

    Raises:
        ParquetProblem: it is not one, or lacks a column.
    """
    with _in_words(str(path)):
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=2**20)
    with file:
        yield ParquetSource(str(path), file)


@contextmanager
def _in_words(name: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise ParquetProblem(f"{name} cannot be read as Parquet, or is not whole: {error}") from error


def _decoded(array: pa.Array) -> pa.Array:
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _exported(columns: dict[str, Column], dim: int) -> Iterator[DocumentLine]:
    passages: list[Any] = _passages(columns["passages"], dim)
    vectors: list[Any] = vectors_of(columns["vector"], dim)
    created_at: list[Any] = moments_of(columns["created_at"])
    updated_at: list[Any] = moments_of(columns["updated_at"])
    plain = {name: columns[name].array.to_pylist() for name in ("media_type", "content_hash", "version")}
    for n, line in enumerate(_lines(columns)):
        line.passages = UNSET if passages[n] is None else passages[n]
        line.vector = UNSET if vectors[n] is None else vectors[n]
        line.media_type, line.content_hash, line.version = (values[n] for values in plain.values())
        line.created_at, line.updated_at = created_at[n], updated_at[n]
        yield line


def _from_elsewhere(columns: dict[str, Column], dim: int) -> Iterator[DocumentLine]:
    more = {
        name: values_of(column)
        for name, column in columns.items()
        if name not in _ELSEWHERE and not _ROW_NUMBERS.fullmatch(name)
    }
    vectors: list[Any] = vectors_of(columns["vector"], dim)
    for n, line in enumerate(_lines(columns)):
        if vectors[n] is None:
            columns["vector"].wrong(n, "is null")
        line.vector = vectors[n]
        row = {name: values[n] for name, values in more.items() if values[n] is not None}
        line.metadata = row | line.metadata
        yield line


def _lines(columns: dict[str, Column]) -> Iterator[DocumentLine]:
    """What every file may have of a document; what is null is as if it were not there."""
    ids = ids_of(columns["id"])
    titles = texts_of(columns["title"]) if "title" in columns else [None] * len(ids)
    texts = texts_of(columns["text"]) if "text" in columns else [None] * len(ids)
    metadata = _objects(columns["metadata"]) if "metadata" in columns else [{} for _ in ids]
    moments: list[Any] = moments_of(columns["expires_at"]) if "expires_at" in columns else [None] * len(ids)
    acls = values_of(columns["acl"]) if "acl" in columns else [None] * len(ids)
    for id_, title, text, own, moment, acl in zip(ids, titles, texts, metadata, moments, acls, strict=True):
        yield DocumentLine(
            id=id_, title=title or "", text=text, metadata=own, expires_at=moment, acl=acl or []
        )


def _objects(column: Column) -> list[dict[str, Any]]:
    decoder = msgspec.json.Decoder(dict[str, Any])
    objects: list[dict[str, Any]] = []
    for n, text in enumerate(texts_of(column)):
        try:
            objects.append({} if text is None else decoder.decode(text))
        except (msgspec.DecodeError, RecursionError) as error:
            column.wrong(n, f"is no JSON object: {error}")
    return objects


def _passages(column: Column, dim: int) -> list[list[PassageLine] | None]:
    """The passages of each document, None for a point."""
    array = column.array
    flat = array.flatten()
    children = dict(zip(flat.type.names, flat.flatten(), strict=True))
    lengths = [0 if length is None else length for length in array.value_lengths().to_pylist()]
    owners = [n for n, length in enumerate(lengths) for _ in range(length)]
    vectors = vectors_of(replace(column, array=children.pop("vector"), owners=owners), dim)
    rows = zip(*(child.to_pylist() for child in children.values()), strict=True)
    lists: list[list[PassageLine] | None] = [[] if there else None for there in array.is_valid().to_pylist()]
    for owner, vector, row in zip(owners, vectors, rows, strict=True):
        passages = lists[owner]
        assert passages is not None
        if vector is None:
            column.wrong(owner, "a passage without a vector")
        passages.append(PassageLine(vector=vector, **dict(zip(children, row, strict=True))))
    return lists
