"""Any documents whatever come through an export and an import as they were."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.http import jsonl
from index import transfer
from index.catalog import open_catalog
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


@given(st.lists(st.builds(DocumentCopy, documents(), st.none() | stamps), max_size=5))
def test_lines_say_all_that_a_document_is(copies: list[DocumentCopy]) -> None:
    again = jsonl.decode_lines(jsonl.encode_head(SETTINGS) + jsonl.encode_lines(copies), 1, SETTINGS)
    assert [comparable(copy) for copy in again] == [comparable(copy) for copy in copies]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    copies=st.lists(
        st.builds(DocumentCopy, documents(), stamps), max_size=8, unique_by=lambda copy: copy.document.id
    )
)
async def test_a_store_gives_back_what_was_written_in(
    copies: list[DocumentCopy], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder: Path = tmp_path_factory.mktemp("data")
    async with open_catalog(folder) as catalog:
        notes, _ = await catalog.create(SETTINGS)
        await notes.upsert(
            [copy.document for copy in copies],
            stamps={copy.document.id: copy.stamps for copy in copies if copy.stamps},
        )
        found, after = [], None
        while page := await notes.copies(after):
            found += page
            after = page[-1].document.id
    expected = sorted(copies, key=lambda copy: copy.document.id)
    assert [comparable(copy) for copy in found] == [comparable(copy) for copy in expected]


async def test_large_documents_come_in_pages_of_their_own(tmp_path: Path) -> None:
    vector = np.frombuffer(base64.b64decode("zczMPQAAIMBZ2QAz"), dtype="<f4")
    passages = tuple(Passage("x", 0, 1, vector) for _ in range(transfer.PAGE_PASSAGES))
    async with open_catalog(tmp_path) as catalog:
        notes, _ = await catalog.create(SETTINGS)
        await notes.upsert([Document(f"d{n}", "", "x" * 10, {}, passages) for n in range(3)])
        assert [copy.document.id for copy in await notes.copies()] == ["d0"]
        assert [copy.document.id for copy in await notes.copies("d0")] == ["d1"]
