"""Between the caller's values and what SQLite keeps: ids, JSON, vectors and times, checked on the way in.

Knows nothing of tables. A vector is stored as little-endian float32, just as it was given; under cosine the
copy that is searched is scaled to length 1. Everything here is pure.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from index.errors import InvalidDocument, InvalidId, InvalidVector
from index.rows import Document, Metric, Vector

MAX_ID_BYTES: Final = 512
# Metadata of one document: as compact JSON in UTF-8, and in objects and lists one inside the other, itself
# being the first.
MAX_METADATA_BYTES: Final = 65_536
MAX_METADATA_DEPTH: Final = 8
# Above this the square of a length leaves float32, and scores would be infinite.
MAX_LENGTH: Final = 1e18
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Compared as text, so it has one form.
_TIMESTAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
# json.dumps writes U+0000 as \u0000; an even number of backslashes before it is text about backslashes.
_ESCAPED_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
# Nearly all values are one of these, and all mappings dicts; to ask whether something is a Mapping takes ten
# times as long.
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_MAPPINGS: Final = (dict, Mapping)
_NESTED: Final = (dict, list, tuple, Mapping)
# Made once; json.dumps makes one for each value.
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def check_id(value: str) -> None:
    """An id has 1 to 512 bytes of UTF-8 and no control characters.

    Raises:
        InvalidId: otherwise.
    """
    check_unicode(value)
    size = len(value.encode())
    if not 1 <= size <= MAX_ID_BYTES:
        raise InvalidId(value, f"it has {size} bytes, ids have 1 to {MAX_ID_BYTES}")
    if _CONTROL.search(value):
        raise InvalidId(value, "it has control characters")


def check_unicode(value: str) -> None:
    """Python's strings may have halves of surrogate pairs, which are no characters.

    Raises:
        InvalidId: it has one.
    """
    if not is_unicode(value):
        raise InvalidId(value.encode(errors="replace").decode(), "it is not valid Unicode")


def is_unicode(value: str) -> bool:
    """Whether it can be written as UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_document(document: Document) -> None:
    """Everything about a document but its metadata and vectors.

    Raises:
        InvalidId: for its id.
        InvalidDocument: for text that is not Unicode, or a point that has not exactly one passage.
    """
    check_id(document.id)
    if document.is_point and len(document.passages) != 1:
        raise InvalidDocument(document.id, f"a point has one passage, not {len(document.passages)}")
    if document.expires_at is not None and not _is_moment(document.expires_at):
        raise InvalidDocument(document.id, "expires_at is not in UTC to the millisecond")
    texts = [document.title, document.text, document.media_type, *document.acl]
    texts += [text for p in document.passages for text in (p.text, p.heading)]
    if not all(is_unicode(text or "") for text in texts):
        raise InvalidDocument(document.id, "its text is not valid Unicode")


def _is_moment(text: str) -> bool:
    try:
        return bool(_TIMESTAMP.fullmatch(text) and datetime.fromisoformat(text))
    except ValueError:  # the form is right, and there is no such day
        return False


def encode_ids(ids: Iterable[str]) -> str:
    """Ids to look for, as the JSON list that SQLite's ``json_each`` takes.

    It cuts a string at U+0000 and would find the id before it, so those, which nothing has, are left out.
    """
    return json.dumps([id_ for id_ in ids if "\0" not in id_])


def encode_place(text: str | None) -> bytes:
    """Any text, or the place before all, as bytes that compare like code points: ``CAST(? AS TEXT)``."""
    return (text or "").encode(errors="surrogatepass")


def passage_ids(document: Document) -> list[str]:
    """The ids of a document's passages, in order."""
    if document.is_point:
        return [document.id]
    return [f"{document.id}#{n}" for n in range(len(document.passages))]


def encode_metadata(document: Document) -> str:
    """The metadata as JSON text that SQLite's JSON functions read the same way.

    Raises:
        InvalidDocument: for more than ``MAX_METADATA_BYTES`` or ``MAX_METADATA_DEPTH``, keys that are not
            strings, values that JSON does not have, and U+0000, at which SQLite would cut a string.
    """
    if _is_deeper(document.metadata, MAX_METADATA_DEPTH):
        raise InvalidDocument(document.id, f"its metadata is nested over {MAX_METADATA_DEPTH} deep")
    if _has_other_keys(document.metadata):
        raise InvalidDocument(document.id, "a metadata key is not a string")
    try:
        encoded = encode_json(document.metadata)
        size = len(encoded.encode())
    except (TypeError, ValueError) as error:
        raise InvalidDocument(document.id, f"its metadata is not JSON: {error}") from error
    if size > MAX_METADATA_BYTES:
        raise InvalidDocument(
            document.id, f"its metadata has {size} bytes of JSON, the limit is {MAX_METADATA_BYTES}"
        )
    if "\\u0000" in encoded and _ESCAPED_NUL.search(encoded):
        raise InvalidDocument(document.id, "its metadata has a NUL character")
    return encoded


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, _NESTED):
        return False
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in _nested(value))


def _has_other_keys(value: Any) -> bool:
    """Than strings; json.dumps would make strings of some of them, perhaps one that is there already."""
    if isinstance(value, _MAPPINGS) and not all([isinstance(key, str) for key in value]):  # noqa: C419
        return True
    return isinstance(value, _NESTED) and any(map(_has_other_keys, _nested(value)))


def _nested(value: Any) -> list[Any]:
    """What is in it, but for what certainly holds nothing itself."""
    inner = value.values() if isinstance(value, _MAPPINGS) else value
    return [item for item in inner if type(item) not in _SCALARS]


def encode_json(value: Any) -> str:
    """Compact JSON; any Mapping is an object.

    Raises:
        TypeError, ValueError, RecursionError: the value is not JSON.
    """
    is_other_mapping = type(value) is not dict and isinstance(value, Mapping)
    return _ENCODER.encode(dict(value) if is_other_mapping else value)


def decode_json(text: str) -> Any:
    """What ``encode_json`` made the text of; msgspec takes a seventh of the time that json takes."""
    return msgspec.json.decode(text)


def stack_vectors(documents: Sequence[Document], dim: int, metric: Metric) -> Vector:
    """The vectors of all the documents' passages in order (n, dim), checked.

    Raises:
        InvalidVector: names the document and the passage.
    """
    vectors = [passage.vector for document in documents for passage in document.passages]
    if vectors and all(_is_row(vector, dim) for vector in vectors):
        matrix = np.concatenate(vectors).reshape(-1, dim)
        if faulty_rows(matrix, metric).size == 0:
            return matrix
    # Slower, and names the one that is wrong.
    return _stack_one_by_one(documents, dim, metric)


def _is_row(vector: object, dim: int) -> bool:
    return type(vector) is np.ndarray and vector.dtype == np.float32 and vector.shape == (dim,)


def _stack_one_by_one(documents: Sequence[Document], dim: int, metric: Metric) -> Vector:
    rows = []
    for document in documents:
        for n, passage in enumerate(document.passages):
            where = f"document {document.id[:80]!r}, passage {n}"
            rows.append(check_vector(passage.vector, dim, metric, where))
    return np.array(rows, dtype=np.float32).reshape(-1, dim)


def check_vector(vector: npt.ArrayLike, dim: int, metric: Metric, where: str) -> Vector:
    """The vector as float32 (dim,).

    Raises:
        InvalidVector: it has another length, something that is no finite number, or no direction under
        cosine.
    """
    try:
        with np.errstate(over="ignore"):
            row = np.asarray(vector, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidVector(f"{where}: the vector is not a list of numbers") from error
    if row.shape != (dim,):
        raise InvalidVector(f"{where}: the vector has the shape {row.shape}, this collection takes ({dim},)")
    length = _length(row)
    if not math.isfinite(length):
        raise InvalidVector(f"{where}: the vector has NaN or infinite values")
    if length == 0 if metric == "cosine" else length > MAX_LENGTH:
        why = "is zero, which has no cosine" if metric == "cosine" else f"is longer than {MAX_LENGTH:g}"
        raise InvalidVector(f"{where}: the vector {why}")
    return row


def faulty_rows(matrix: Vector, metric: Metric) -> npt.NDArray[np.intp]:
    """Which of the rows (n, dim) cannot be searched under the metric, ascending."""
    lengths = _lengths(matrix)
    fine = np.isfinite(lengths) & ((lengths > 0) if metric == "cosine" else (lengths <= MAX_LENGTH))
    return np.flatnonzero(~fine)


def searchable(matrix: Vector, metric: Metric) -> Vector:
    """The rows (n, dim) as they are searched: of length 1 under cosine, else unchanged."""
    if metric != "cosine":
        return matrix
    scaled = np.empty_like(matrix)
    # Divided in float64, a stretch at a time, without a matrix of that.
    np.divide(matrix, _lengths(matrix)[:, None], out=scaled, casting="same_kind")
    return scaled


def searchable_row(row: Vector, metric: Metric) -> Vector:
    """As ``searchable``, of one row (dim,), without what it costs to go over many."""
    return row if metric != "cosine" else (row.astype(np.float64) / _length(row)).astype(np.float32)


def _length(row: Vector) -> float:
    # See ``_lengths``: where every number is finite the length is as well, and the other way round.
    exact = row.astype(np.float64)
    return math.sqrt(np.vecdot(exact, exact))


def _lengths(matrix: Vector) -> npt.NDArray[np.float64]:
    # In float64 no finite float32 row overflows or vanishes.
    squares: npt.NDArray[np.float64] = np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64)
    return np.sqrt(squares)


def encode_vectors(matrix: Vector) -> list[bytes]:
    """One BLOB a row."""
    return [row.tobytes() for row in matrix.astype("<f4", copy=False)]


def decode_vector(blob: bytes) -> Vector:
    return np.frombuffer(blob, dtype="<f4").astype(np.float32, copy=False)


def timestamp(moment: datetime | None = None) -> str:
    """The moment, or now, as RFC 3339 in UTC to the millisecond; as text it sorts by time.

    Raises:
        OverflowError: in UTC it is before the year 1 or after the year 9999.
    """
    moment = datetime.now(UTC) if moment is None else moment
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
