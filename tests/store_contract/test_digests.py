"""Vectors are found by the digest of what they were made from, wherever a passage has them."""

from dataclasses import replace

import numpy as np
from store_samples import document_of

from index.rows import Document
from index.store import Store


def with_digests(document: Document, *digests: str | None) -> Document:
    pairs = zip(document.passages, digests, strict=True)
    passages = tuple(
        replace(passage, digest=digest, tokens=7, token_vectors=(digest or "").encode() or None)
        for passage, digest in pairs
    )
    return replace(document, passages=passages)


async def test_the_vectors_of_a_digest_are_those_that_were_written_with_it(store: Store) -> None:
    written = with_digests(document_of("a", 1, 2, 3), "one", "two", None)
    await store.upsert([written])
    found = await store.vectors_by_digest(["two", "none", "one", "two"])
    assert set(found) == {"one", "two"}
    for digest, passage in zip(("one", "two"), written.passages, strict=False):
        np.testing.assert_array_equal(found[digest].vector, passage.vector)
        assert (found[digest].tokens, found[digest].token_vectors) == (7, digest.encode())


async def test_a_digest_is_found_until_its_last_passage_is_deleted(store: Store) -> None:
    await store.upsert([with_digests(document_of(id_, 1), "same") for id_ in ("a", "b")])
    assert await store.delete(["a"]) == 1
    assert set(await store.vectors_by_digest(["same"])) == {"same"}
    assert await store.count() == 1
    await store.delete(["b"])
    assert await store.vectors_by_digest(["same"]) == {}


async def test_no_digest_finds_nothing(store: Store) -> None:
    assert await store.vectors_by_digest([]) == {}
