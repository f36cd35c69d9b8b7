"""What a collection is in Milvus: the fields of its rows, and the rows of a document.

A row is one passage in one version of its document. Its primary key has both, so a row never changes what
it says, and whoever writes an old version late, because it was held up, puts nothing in the place of a newer
one. Rows of older versions are deleted by ``moment``, that of the truth's history at which they were written.
No field is a partition key: what somebody may see is a set of tags, and a partition key is one value.

A vector is kept as it is searched, so that the inner product is the cosine too.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from index.codec import MAX_ID_BYTES, passage_ids, searchable, stack_vectors
from index.milvus.terms import MOST_TERMS, attributes_of
from index.rows import CollectionSettings, DocumentCopy, Metric

NEVER: Final = 2**62
_RANDOM_BYTES: Final = 8
_STAMP_LENGTH: Final = 32
_KEY_LENGTH: Final = MAX_ID_BYTES + 2 * _STAMP_LENGTH
_METRICS: Final[dict[Metric, str]] = {"cosine": "IP", "dot": "IP", "l2": "L2"}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a Milvus collection; ``limits`` as pymilvus names them. ``inverted`` asks for an index."""

    name: str
    type: str
    limits: dict[str, Any]
    inverted: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """A collection to make: its primary key is the first field, ``vector`` the last."""

    fields: tuple[Field, ...]
    dim: int
    metric: str


def shape_of(settings: CollectionSettings) -> Shape:
    """That of a collection of these settings."""
    return Shape(
        (
            Field("key", "VARCHAR", {"max_length": _KEY_LENGTH}),
            Field("document_id", "VARCHAR", {"max_length": MAX_ID_BYTES}, inverted=True),
            Field("updated_at", "VARCHAR", {"max_length": _STAMP_LENGTH}),
            Field("moment", "INT64", {}),
            Field("expires_at", "INT64", {}),
            Field("terms", "ARRAY", {"element_type": "INT64", "max_capacity": MOST_TERMS}, inverted=True),
            Field("values", "JSON", {}),
            Field("cut", "BOOL", {}),
        ),
        settings.dim,
        _METRICS[settings.metric],
    )


def new_place(prefix: str, name: str) -> str:
    """A name in Milvus for the rows of the collection ``name``, which no others had: whoever still looks into
    rows that were dropped must not meet some that are not all there yet. Milvus takes no hyphens.
    """
    return f"{prefix}{name.replace('-', '_')}_{secrets.token_hex(_RANDOM_BYTES)}"


def rows_of(copy: DocumentCopy, settings: CollectionSettings, moment: int) -> list[dict[str, Any]]:
    """The rows of a document as it is at ``moment``."""
    document, stamps = copy.document, copy.stamps
    assert stamps is not None, "what the truth gives has stamps"
    attributes = attributes_of(document.metadata, document.acl)
    shared = {
        "document_id": document.id,
        "updated_at": stamps.updated_at,
        "moment": moment,
        "expires_at": milliseconds(document.expires_at) if document.expires_at else NEVER,
        "terms": attributes.terms,
        "values": attributes.values,
        "cut": not attributes.whole,
    }
    vectors = searchable(stack_vectors([document], settings.dim, settings.metric), settings.metric)
    keys = keys_of(copy)
    return [{"key": key, **shared, "vector": vector} for key, vector in zip(keys, vectors, strict=True)]


def keys_of(copy: DocumentCopy) -> Iterator[str]:
    """The primary keys of a document's rows, in order."""
    assert copy.stamps is not None, "what the truth gives has stamps"
    version = copy.stamps.version
    return (f"{version}:{id_}" for id_ in passage_ids(copy.document))


def read_key(key: str) -> tuple[str, int]:
    """The id of the key's point, and the version of its document."""
    version, _, id_ = key.partition(":")
    return id_, int(version)


def milliseconds(moment: str) -> int:
    """Since 1970, of a moment in the form in which they are stored."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000)
