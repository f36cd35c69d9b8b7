"""The columns of an exported Parquet file; docs/api.md describes them for others.

Only commands that were asked for Parquet import this: it needs pyarrow, which is an extra.
"""

from typing import Any, Final

import msgspec
import pyarrow as pa

SETTINGS_KEY: Final = b"embedd.collection"
"""Of the file's own metadata: the collection's settings, as JSON. Files from elsewhere have none."""

MOMENT: Final = pa.timestamp("ms", tz="UTC")


def schema_of(settings: dict[str, Any]) -> pa.Schema:
    """That of the documents of a collection with these settings."""
    vector = pa.list_(pa.field("element", pa.float32(), nullable=False), settings["dim"])
    passage = pa.struct(
        [
            pa.field("start", pa.int64(), nullable=False),
            pa.field("end", pa.int64(), nullable=False),
            pa.field("text", pa.string()),
            pa.field("page", pa.int64()),
            pa.field("heading", pa.string(), nullable=False),
            pa.field("tokens", pa.int64(), nullable=False),
            pa.field("vector", vector, nullable=False),
            pa.field("token_vectors", pa.binary()),
        ]
    )
    fields = [
        pa.field("id", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("metadata", pa.string(), nullable=False),
        pa.field("vector", vector),
        pa.field("passages", pa.list_(pa.field("element", passage, nullable=False))),
        pa.field("media_type", pa.string(), nullable=False),
        pa.field("content_hash", pa.binary(), nullable=False),
        pa.field("expires_at", MOMENT),
        pa.field("acl", pa.list_(pa.field("element", pa.string(), nullable=False)), nullable=False),
        pa.field("version", pa.int64()),
        pa.field("created_at", MOMENT),
        pa.field("updated_at", MOMENT),
    ]
    return pa.schema(fields, {SETTINGS_KEY: msgspec.json.encode(settings)})


def settings_of(schema: pa.Schema) -> dict[str, Any] | None:
    """Those of the collection that was exported; None for a file from elsewhere.

    Raises:
        ValueError: they are none.
    """
    encoded = (schema.metadata or {}).get(SETTINGS_KEY)
    if encoded is None:
        return None
    settings: dict[str, Any] = msgspec.json.decode(encoded, type=dict[str, Any])
    if type(settings.get("dim")) is not int:
        raise ValueError("there is no number `dim`")
    return settings
