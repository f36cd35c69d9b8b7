"""What cannot be stored is refused by its name, with all that is written beside it."""

from typing import Any

import numpy as np
import pytest
from store_samples import DIM, document_of, everything_of, ids_of, point_of, settings_of, vector_of

from index.errors import (
    InvalidDocument,
    InvalidId,
    InvalidVector,
    StoreError,
)
from index.rows import Document, DocumentPatch, Passage, Query, Receipt
from index.store import Store


def with_number(number: float) -> np.ndarray:
    vector = vector_of(1)
    vector[3] = number
    return vector


def nested(levels: int, kind: str = "object") -> dict[str, Any]:
    """Metadata of so many levels, itself being the first."""
    value: Any = 1
    for _ in range(levels - 1):
        value = {"k": value} if kind == "object" else [value]
    return {"k": value}


def of_bytes(size: int) -> dict[str, Any]:
    """Metadata whose compact JSON has so many bytes."""
    return {"k": "x" * (size - len('{"k":""}'))}


BAD_VECTORS = {
    "NaN": with_number(np.nan),
    "infinity": with_number(np.inf),
    "minus infinity": with_number(-np.inf),
    "a float64 that float32 lacks": with_number(0).astype(np.float64) + 1e300,
    "zero": np.zeros(DIM, dtype=np.float32),
    "short": vector_of(1, DIM - 1),
    "long": vector_of(1, DIM + 1),
    "empty": np.empty(0, dtype=np.float32),
    "two rows": np.ones((2, DIM), dtype=np.float32),
    "a row of a matrix": np.ones((1, DIM), dtype=np.float32),
    "text": np.array(["x"] * DIM),
}
BAD_DOCUMENTS: dict[str, tuple[Document, type[StoreError]]] = {
    "an empty id": (document_of("", 1), InvalidId),
    "an id of 513 bytes": (document_of("x" * 513, 1), InvalidId),
    "an id of 514 bytes in 257 characters": (document_of("ü" * 257, 1), InvalidId),
    "an id with NUL": (document_of("a\0b", 1), InvalidId),
    "an id with a line break": (document_of("a\nb", 1), InvalidId),
    "an id with DEL": (document_of("a\x7f", 1), InvalidId),
    "an id that is no Unicode": (document_of("a\ud800", 1), InvalidId),
    "metadata over 64 KiB": (document_of("a", 1, metadata=of_bytes(65_537)), InvalidDocument),
    "metadata 9 deep": (document_of("a", 1, metadata=nested(9)), InvalidDocument),
    "metadata of lists 9 deep": (document_of("a", 1, metadata=nested(9, "list")), InvalidDocument),
    "metadata 100,000 deep": (document_of("a", 1, metadata=nested(100_000)), InvalidDocument),
    "NaN in metadata": (document_of("a", 1, metadata={"k": [float("nan")]}), InvalidDocument),
    "infinity in metadata": (document_of("a", 1, metadata={"k": float("inf")}), InvalidDocument),
    "bytes in metadata": (document_of("a", 1, metadata={"k": b"x"}), InvalidDocument),
    "a set in metadata": (document_of("a", 1, metadata={"k": {1}}), InvalidDocument),
    "a key of metadata that is a number": (document_of("a", 1, metadata={1: "x"}), InvalidDocument),
    "an inner key that is a number": (document_of("a", 1, metadata={"k": {1: "x"}}), InvalidDocument),
    "a key in a list that is null": (document_of("a", 1, metadata={"k": [{None: 1}]}), InvalidDocument),
    "NUL in metadata": (document_of("a", 1, metadata={"k": "a\0"}), InvalidDocument),
    "NUL in a key of metadata": (document_of("a", 1, metadata={"k\0": 1}), InvalidDocument),
    "metadata that is no Unicode": (document_of("a", 1, metadata={"k": "\udfff"}), InvalidDocument),
    "a number of 5,000 digits": (document_of("a", 1, metadata={"k": 10**5_000}), InvalidDocument),
    "text that is no Unicode": (document_of("a", 1, text="\ud800"), InvalidDocument),
    "a title that is no Unicode": (document_of("a", 1, title="\ud800"), InvalidDocument),
    "a tag that is no Unicode": (document_of("a", 1, acl=("\ud800",)), InvalidDocument),
    "a media type that is no Unicode": (document_of("a", 1, media_type="\ud800"), InvalidDocument),
    "a passage that is no Unicode": (
        document_of("a", passages=(Passage("\ud800", 0, 1, vector_of(1)),)),
        InvalidDocument,
    ),
    "a heading that is no Unicode": (
        document_of("a", passages=(Passage("x", 0, 1, vector_of(1), heading="\ud800"),)),
        InvalidDocument,
    ),
    "a point of no passages": (document_of("a", is_point=True), InvalidDocument),
    "a point of two passages": (document_of("a", 1, 2, is_point=True), InvalidDocument),
    "a moment that is none": (document_of("a", 1, expires_at="tomorrow"), InvalidDocument),
    "a moment in another form": (document_of("a", 1, expires_at="2999-01-01T00:00:00Z"), InvalidDocument),
    "a day that no month has": (document_of("a", 1, expires_at="2999-02-30T00:00:00.000Z"), InvalidDocument),
    "an hour that no day has": (document_of("a", 1, expires_at="2999-01-01T25:00:00.000Z"), InvalidDocument),
    "a passage's id that is taken": (point_of("kept#0", 1), InvalidId),
}


async def refused(store: Store, bad: Document, error: type[StoreError]) -> None:
    """``bad`` is refused wherever it stands in a write, with what is written beside it."""
    before = await everything_of(store)
    receipts = [Receipt("job", 0, {})]
    for documents in ([bad], [document_of("kept", 9), document_of("new", 8), bad], [bad, document_of("new")]):
        with pytest.raises(error):
            await store.upsert(documents, receipts)
    assert await everything_of(store) == before
    assert len(await store.pending_items("job", 9)) == 1


@pytest.mark.parametrize("case", BAD_VECTORS)
async def test_a_vector_that_cannot_be_searched_is_refused_with_its_whole_write(
    filled: Store, case: str
) -> None:
    await refused(filled, point_of("bad", vector=BAD_VECTORS[case]), InvalidVector)


async def test_a_query_by_such_a_vector_is_refused(filled: Store) -> None:
    for case, vector in BAD_VECTORS.items():
        for mode in ("dense", "hybrid"):
            with pytest.raises(InvalidVector):
                pytest.fail(
                    f"{case}: {await filled.search(Query(1, vector=vector, text='word1', mode=mode))}"
                )


@pytest.mark.parametrize("case", BAD_DOCUMENTS)
async def test_a_document_that_cannot_be_stored_is_refused_with_its_whole_write(
    filled: Store, case: str
) -> None:
    await refused(filled, *BAD_DOCUMENTS[case])


async def test_a_document_whose_passage_would_take_a_points_id_is_refused(filled: Store) -> None:
    await refused(filled, document_of("other", 1), InvalidId)


async def test_two_documents_of_one_write_cannot_share_a_passages_id(filled: Store) -> None:
    before = await everything_of(filled)
    with pytest.raises(InvalidId):
        await filled.upsert([document_of("a", 1), point_of("a#0", 2)])
    assert await everything_of(filled) == before


async def test_a_point_may_take_the_id_of_a_passage_that_the_same_write_replaces(filled: Store) -> None:
    await filled.upsert([point_of("kept#1", 5), document_of("kept", 6)])
    assert ids_of((await filled.scroll(9))[0]) == ["other#0", "kept#1", "kept#0"]


@pytest.mark.parametrize("metric", ["dot", "l2"])
async def test_zero_is_a_vector_where_it_has_a_score_and_what_is_too_long_is_none(
    stores: Any, metric: Any
) -> None:
    store = await stores.create(settings_of(metric=metric))
    zero = np.zeros(DIM, dtype=np.float32)
    await store.upsert([point_of("zero", vector=zero), point_of("p", 1)])
    assert set(ids_of(await store.search(Query(9, vector=zero)))) == {"zero", "p"}
    with pytest.raises(InvalidVector):
        await store.upsert([point_of("far", vector=np.full(DIM, 3e38, dtype=np.float32))])
    assert await store.count() == 2


async def test_the_largest_that_is_allowed_is_stored(store: Store) -> None:
    documents = [
        document_of("x" * 512, 1, metadata=of_bytes(65_536)),
        document_of("ü" * 256, 2, metadata=nested(8)),
        document_of("\U0001f600", 3, metadata=nested(8, "list") | {"back\\u0000slash": "\\u0000"}),
        document_of("nul in text", 4, text="a\0b", title="\0"),
    ]
    await store.upsert(documents)
    copies = {copy.document.id: copy.document for copy in await store.copies()}
    assert {id_: (one.metadata, one.text, one.title) for id_, one in copies.items()} == {
        one.id: (one.metadata, one.text, one.title) for one in documents
    }
    assert await store.delete(list(copies)) == 4


async def test_ids_that_nothing_can_have_are_just_not_there(filled: Store) -> None:
    before = await everything_of(filled)
    odd = ["", "kept\0", "\ud800", "x" * 600, "kept#00"]
    assert await filled.points(odd) == []
    assert await filled.stamps(odd) == await filled.revisions(odd) == {}
    assert [await filled.document(id_) for id_ in odd] == [None] * len(odd)
    assert await filled.delete(odd) == 0
    assert await everything_of(filled) == before


@pytest.mark.parametrize(
    "patch",
    [
        DocumentPatch({"k": float("nan")}),
        DocumentPatch(nested(9)),
        DocumentPatch(of_bytes(65_537)),
        DocumentPatch({"k": "x" * 65_525}),  # with what is there it is too much
        DocumentPatch({"k": "\0"}),
        DocumentPatch(title="\ud800"),
        DocumentPatch(expires_at="soon"),
    ],
)
async def test_a_patch_that_cannot_be_stored_changes_nothing(filled: Store, patch: DocumentPatch) -> None:
    before = await everything_of(filled)
    with pytest.raises(InvalidDocument):
        await filled.patch("kept", patch)
    assert await everything_of(filled) == before
