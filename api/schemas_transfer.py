"""Lines of an export, which are also those of an import: first the collection, then document by document."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

from api.schemas import Acl, Answer, ExpiresAt, Id, Metadata, Request, Title

Offset = Annotated[int, Meta(ge=0, le=2**31 - 1)]
# Typed, because msgspec decodes base64 in a third of the time that the standard library takes.
Vector = Annotated[
    bytes | list[float], Meta(description="Base64 of little-endian float32, as exports have it, or numbers.")
]
Hash = Annotated[bytes, Meta(max_length=64, description="What ingestion compares; base64.")]


class ExportQuery(Request):
    """``after`` is the id of the last document that was received: the export goes on behind it."""

    after: str | None = None


class CollectionLine(Struct):
    """The first line: the collection that the documents are of."""

    collection: dict[str, Any]


class PassageLine(Request, omit_defaults=True):
    start: Offset
    end: Offset
    vector: Vector
    text: str | None = None
    page: Offset | None = None
    heading: str = ""
    tokens: Offset = 0
    token_vectors: bytes | None = None


class DocumentLine(Request, omit_defaults=True):
    """A document with its ``passages``, or a point with its ``vector``.

    Lines of an export have all three of ``version``, ``created_at`` and ``updated_at``, which are kept; of
    other lines none is needed.
    """

    id: Id
    title: Title = ""
    text: str | None = None
    metadata: Metadata = field(default_factory=dict)
    vector: Vector | UnsetType = UNSET
    passages: list[PassageLine] | UnsetType = UNSET
    media_type: str = "text/plain"
    content_hash: Hash = b""
    expires_at: ExpiresAt | None = None
    acl: Acl = field(default_factory=list)
    version: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    created_at: ExpiresAt | None = None
    updated_at: ExpiresAt | None = None


class Imported(Answer):
    """``unchanged`` lines had nothing new: the document is there with the same version and times."""

    imported: int
    unchanged: int
