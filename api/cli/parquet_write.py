"""From the lines of an export to a Parquet file, some thousand documents at a time."""

import os
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import UNSET

from api.cli.parquet_schema import schema_of
from api.schemas_transfer import CollectionLine, DocumentLine, PassageLine

_GROUP_LINES: Final = 4096
_GROUP_BYTES: Final = 32 * 2**20
# The numbers of vectors hardly repeat and hardly shrink.
_OPTIONS: Final = {"compression": "zstd", "compression_level": 1, "use_dictionary": ["title", "media_type"]}


def write_parquet(lines: Path, file: Path) -> None:
    """Make ``file``, whole or not at all, of the ``lines`` of an export."""
    fresh = file.with_name(f"{file.name}.new")
    with lines.open("rb") as source, fresh.open("wb") as target:
        schema = schema_of(msgspec.json.decode(source.readline(), type=CollectionLine).collection)
        with pq.ParquetWriter(target, schema, **_OPTIONS) as writer:
            for group in _groups(source):
                writer.write_batch(batch_of(group, schema))
        target.flush()
        os.fsync(target.fileno())
    fresh.rename(file)


def _groups(source: IO[bytes]) -> Iterator[list[DocumentLine]]:
    decoder, group, size = msgspec.json.Decoder(DocumentLine), [], 0
    for line in source:
        group.append(decoder.decode(line))
        size += len(line)
        if len(group) == _GROUP_LINES or size >= _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def batch_of(lines: Sequence[DocumentLine], schema: pa.Schema) -> pa.RecordBatch:
    """A row for each line, whose vectors are bytes."""
    columns = {
        "id": [line.id for line in lines],
        "title": [line.title for line in lines],
        "text": [line.text for line in lines],
        "metadata": [msgspec.json.encode(line.metadata).decode() for line in lines],
        "media_type": [line.media_type for line in lines],
        "content_hash": [line.content_hash for line in lines],
        "expires_at": [line.expires_at for line in lines],
        "acl": [line.acl for line in lines],
        "version": [line.version for line in lines],
        "created_at": [line.created_at for line in lines],
        "updated_at": [line.updated_at for line in lines],
    }
    arrays = {name: pa.array(values, schema.field(name).type) for name, values in columns.items()}
    vectors = [None if line.vector is UNSET else line.vector for line in lines]
    arrays["vector"] = _vectors(vectors, schema.field("vector").type)
    arrays["passages"] = _passages(lines, schema.field("passages").type)
    return pa.record_batch([arrays[name] for name in schema.names], schema=schema)


def _passages(lines: Sequence[DocumentLine], kind: pa.ListType) -> pa.Array:
    lists: list[list[PassageLine]] = [[] if line.passages is UNSET else line.passages for line in lines]
    offsets = pa.array([0, *accumulate(map(len, lists))], pa.int32())
    mask = pa.array([line.passages is UNSET for line in lines], pa.bool_())
    flat, fields = [passage for each in lists for passage in each], kind.value_type.fields
    children = [
        _vectors([passage.vector for passage in flat], field.type)
        if field.name == "vector"
        else pa.array([getattr(passage, field.name) for passage in flat], field.type)
        for field in fields
    ]
    passages = pa.StructArray.from_arrays(children, fields=fields)
    return pa.ListArray.from_arrays(offsets, passages, type=kind, mask=mask)


def _vectors(vectors: Sequence[Any], kind: pa.FixedSizeListType) -> pa.Array:
    """Null where there is no vector."""
    missing = bytes(4 * kind.list_size)
    joined = b"".join(missing if vector is None else vector for vector in vectors)
    numbers = pa.array(np.frombuffer(joined, dtype="<f4").astype(np.float32, copy=False))
    mask = pa.array([vector is None for vector in vectors], pa.bool_())
    return pa.FixedSizeListArray.from_arrays(numbers, type=kind, mask=mask)
