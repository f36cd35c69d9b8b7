"""Any documents whatever, as hypothesis makes them up, and how two of them are compared."""

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
from hypothesis import strategies as st

from index.codec import timestamp
from index.rows import CollectionSettings, Document, DocumentCopy, Passage, Stamps

DIM = 3
SETTINGS = CollectionSettings("notes", DIM, "l2", token_vectors="2bit")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ids = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
numbers = st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-1e10, max_value=1e10)
vectors = st.lists(numbers, min_size=DIM, max_size=DIM).map(lambda row: np.array(row, dtype=np.float32))
clean = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | clean
)
metadata = st.dictionaries(
    clean, scalars | st.lists(scalars, max_size=3) | st.dictionaries(clean, scalars, max_size=2), max_size=4
)
moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)).map(timestamp)  # noqa: DTZ001
stamps = st.builds(Stamps, st.integers(1, 2**40), moments, moments)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    text = draw(st.none() | texts)
    common: dict[str, Any] = {"id": draw(ids), "title": draw(texts), "text": text, "metadata": draw(metadata)}
    common |= {
        "expires_at": draw(st.none() | st.just("9000-01-01T00:00:00.000Z")),
        "acl": tuple(draw(st.lists(clean.filter(bool), max_size=2))),
    }
    if draw(st.booleans()):
        return Document(passages=(Passage(text, 0, len(text or ""), draw(vectors)),), is_point=True, **common)
    passages = draw(
        st.lists(
            st.builds(_passage, st.just(text), vectors, texts, st.none() | st.integers(1, 9)), max_size=3
        )
    )
    return Document(
        passages=tuple(passages), content_hash=draw(st.binary(max_size=32)), media_type="text/html", **common
    )


def _passage(text: str | None, vector: Any, heading: str, page: int | None) -> Passage:
    end = len(text or "")
    return Passage(text, 0, end, vector, page, heading, end, bytes([end % 256]))


def comparable(copy: DocumentCopy) -> Any:
    """Everything, with vectors as bytes and metadata as text, in which 1, 1.0 and true differ."""
    document = copy.document
    parts = [
        (p.text, p.start, p.end, p.vector.tobytes(), p.page, p.heading, p.tokens, p.token_vectors)
        for p in document.passages
    ]
    fields = {
        name: getattr(document, name) for name in document.__slots__ if name not in ("passages", "metadata")
    }
    return fields, parts, json.dumps(document.metadata, sort_keys=True), copy.stamps
