"""Any documents whatever come through an export and an import as they were."""

import base64
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from document_copies import DIM, SETTINGS, comparable, documents, stamps
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.cli.parquet_read import open_parquet
from api.cli.parquet_write import write_parquet
from api.http import jsonl
from index import transfer
from index.catalog import open_catalog
from index.rows import Document, DocumentCopy, Passage


@given(st.lists(st.builds(DocumentCopy, documents(), st.none() | stamps), max_size=5))
def test_lines_say_all_that_a_document_is(copies: list[DocumentCopy]) -> None:
    again = jsonl.decode_lines(jsonl.encode_head(SETTINGS) + jsonl.encode_lines(copies), 1, SETTINGS)
    assert [comparable(copy) for copy in again] == [comparable(copy) for copy in copies]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
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


def by_parquet(body: bytes, folder: Path) -> bytes:
    """The lines of an export as they are once they have been a file."""
    (folder / "lines").write_bytes(body)
    write_parquet(folder / "lines", folder / "file.parquet")
    with open_parquet(folder / "file.parquet") as source:
        return source.head + b"".join(source.lines(DIM))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(copies=st.lists(st.builds(DocumentCopy, documents(), st.none() | stamps), max_size=5))
def test_a_parquet_file_says_all_that_lines_say(copies: list[DocumentCopy], tmp_path: Path) -> None:
    body = jsonl.encode_head(SETTINGS) + jsonl.encode_lines(copies)
    again = jsonl.decode_lines(by_parquet(body, tmp_path), 1, SETTINGS)
    assert [comparable(copy) for copy in again] == [comparable(copy) for copy in copies]


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    copies=st.lists(
        st.builds(DocumentCopy, documents(), stamps), max_size=8, unique_by=lambda copy: copy.document.id
    )
)
async def test_a_collection_becomes_the_same_one_by_parquet(
    copies: list[DocumentCopy], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder: Path = tmp_path_factory.mktemp("data")
    async with open_catalog(folder / "data") as catalog:
        bodies, read = [], copies
        for name in ("first", "second"):
            store, _ = await catalog.create(replace(SETTINGS, name=name))
            given_stamps = {copy.document.id: copy.stamps for copy in read if copy.stamps}
            await store.upsert([copy.document for copy in read], stamps=given_stamps)
            bodies.append(jsonl.encode_head(SETTINGS) + jsonl.encode_lines(await store.copies()))
            read = jsonl.decode_lines(by_parquet(bodies[-1], folder), 1, SETTINGS)
    assert len(read) == len(copies)
    assert bodies[0] == bodies[1]
