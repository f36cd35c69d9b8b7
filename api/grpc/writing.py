"""What the index answers, as messages."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.struct_pb2 import Struct

from api.grpc.v1 import index_pb2 as pb
from api.services.incoming import Outcome
from index.rows import Hit, StoredDocument, StoredPoint


def describe_outcome(outcome: Outcome) -> pb.Outcome:
    """What became of a document."""
    return pb.Outcome(
        id=outcome.id,
        status=pb.Status.Value(f"STATUS_{outcome.status.upper()}"),
        passages=outcome.passages,
        tokens=outcome.tokens,
        error=outcome.error or "",
        reason=(outcome.code or "").upper(),
    )


def describe_hit(hit: Hit, include: Sequence[str]) -> pb.Hit:
    """A hit, with what ``include`` asks for."""
    return pb.Hit(
        id=hit.id,
        document_id=hit.document_id,
        score=hit.score,
        title=hit.title,
        text=(hit.text or "") if "text" in include else "",
        metadata=struct_of(hit.metadata) if "metadata" in include else None,
        start=hit.start,
        end=hit.end,
        page=hit.page,
        scores=hit.scores,
        vector=bytes_of(hit.vector) if "vector" in include else b"",
    )


def describe_stored(document: StoredDocument) -> pb.StoredDocument:
    """A document, with its text if it was read."""
    return pb.StoredDocument(
        id=document.id,
        title=document.title,
        metadata=struct_of(document.metadata),
        version=document.version,
        passages=document.passages,
        tokens=document.tokens,
        characters=document.characters,
        media_type=document.media_type,
        created_at=document.created_at,
        updated_at=document.updated_at,
        expires_at=document.expires_at or "",
        acl=document.acl,
        text=document.text or "",
    )


def describe_point(point: StoredPoint, include: Sequence[str]) -> pb.StoredPoint:
    """A point, with what ``include`` asks for."""
    return pb.StoredPoint(
        id=point.id,
        document_id=point.document_id,
        version=point.version,
        title=point.title,
        text=(point.text or "") if "text" in include else "",
        metadata=struct_of(point.metadata) if "metadata" in include else None,
        vector=bytes_of(point.vector) if "vector" in include else b"",
        expires_at=point.expires_at or "",
        acl=point.acl,
    )


def struct_of(metadata: Mapping[str, Any]) -> Struct:
    """A JSON object; whole numbers beyond 2^53 lose digits, because a Struct has doubles alone."""
    struct = Struct()
    struct.update(metadata)
    return struct


def bytes_of(vector: npt.NDArray[np.float32] | None) -> bytes:
    """Little-endian float32; nothing for none."""
    return b"" if vector is None else vector.astype("<f4", copy=False).tobytes()
