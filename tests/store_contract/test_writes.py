"""A write that returned is there, whole, for every read and after a restart; one that did not is not."""

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from store_samples import FUTURE, document_of, everything_of, ids_of, point_of, settings_of, vector_of

from index.errors import CollectionNotFound
from index.filters import parse_filter
from index.rows import DocumentPatch, Passage, Query, Receipt, Stamps
from index.store import Store


async def test_what_was_written_is_met_by_every_read(store: Store) -> None:
    await store.upsert([document_of("a", 1, 2, metadata={"lang": "en"})])
    both = ["a#0", "a#1"]
    assert ids_of(await store.search(Query(9, vector=vector_of(1)))) == both
    assert ids_of(await store.search(Query(9, text="word2"))) == ["a#1"]
    assert ids_of(await store.search(Query(9, vector=vector_of(2), text="word2")))[0] == "a#1"
    assert ids_of(await store.points(both)) == ids_of((await store.scroll(9))[0]) == both
    assert await store.document("a") is not None
    assert [(document.id, document.passages) for document in await store.documents(9)] == [("a", 2)]
    assert [copy.document.id for copy in await store.copies()] == ["a"]
    assert set(await store.revisions(["a"])) == set(await store.stamps(["a"])) == {"a"}
    assert await store.count() == await store.count(parse_filter({"lang": "en"})) == 2
    assert [(value.value, value.points) for value in (await store.facets("lang", 9)).values] == [("en", 2)]
    statistics = await store.statistics()
    assert (statistics.documents, statistics.points) == (1, 2)


async def test_a_document_comes_back_with_all_that_it_was_written_with(store: Store) -> None:
    passages = (
        Passage("Grüße,", 0, 6, vector_of(1), page=1, heading="A / B", tokens=3, token_vectors=b"\x01\x02"),
        Passage("\U0001f600 welt", 7, 13, vector_of(2), tokens=4),
        Passage(None, 13, 13, vector_of(3)),
    )
    written = document_of(
        "päth/to:a file?.md",
        title="Ünï",
        text="Grüße, \U0001f600 welt",
        metadata={"a": [1, 2.5, None, True, "x"], "b": {"c": {"d": ""}}, "": -0.5, "n": 2**60, "ключ": "й"},
        passages=passages,
        content_hash=b"\x00\xff",
        media_type="text/markdown",
        expires_at=FUTURE,
        acl=("team", "ops"),
    )
    await store.upsert([written])
    (copy,) = await store.copies()
    vectors = [passage.vector.tobytes() for passage in copy.document.passages]
    assert vectors == [passage.vector.tobytes() for passage in passages]
    same = zip(copy.document.passages, passages, strict=True)
    assert [replace(found, vector=None) for found, _ in same] == [replace(p, vector=None) for p in passages]
    assert replace(copy.document, passages=()) == replace(written, passages=())
    stored = await store.document(written.id, with_text=True)
    assert stored is not None
    assert (stored.text, stored.characters, stored.tokens) == (written.text, 13, 7)
    assert (stored.title, stored.metadata, stored.acl) == (written.title, written.metadata, written.acl)
    assert (stored.content_hash, stored.media_type) == (written.content_hash, written.media_type)
    assert (stored.expires_at, stored.is_point, stored.version) == (FUTURE, False, 1)
    assert [document.text for document in await store.documents(9)] == [None]
    first, *_ = await store.points([f"{written.id}#0"])
    assert (first.text, first.start, first.end) == ("Grüße,", 0, 6)
    assert (first.page, first.heading, first.expires_at) == (1, "A / B", FUTURE)
    assert (first.document_id, first.title, first.vector) == (written.id, "Ünï", None)


async def test_numbers_in_metadata_keep_their_types(store: Store) -> None:
    await store.upsert([point_of("a", metadata={"int": 1, "float": 1.0, "bool": True, "large": 2**53 + 1})])
    (point,) = await store.points(["a"])
    types = {key: type(value) for key, value in point.metadata.items()}
    assert types == {"int": int, "float": float, "bool": bool, "large": int}
    assert point.metadata["large"] == 2**53 + 1


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
async def test_a_vector_comes_back_bit_for_bit(stores: Any, metric: Any) -> None:
    store = await stores.create(settings_of(dim=4, metric=metric))
    rows = np.array([[1e-40, -0.0, 1.0, 0.1], [1e17, -1e17, 3.4e-38, 0.0], [-1, 2, -3, 4]], dtype=np.float32)
    await store.upsert([point_of(f"p{n}", vector=row) for n, row in enumerate(rows)])
    found = await store.points(["p0", "p1", "p2"], with_vectors=True)
    assert [point.vector.tobytes() for point in found] == [row.tobytes() for row in rows]
    hits = (await store.search(Query(9, vector=rows[2], with_vectors=True))).hits
    assert {hit.id: hit.vector.tobytes() for hit in hits} == {
        f"p{n}": row.tobytes() for n, row in enumerate(rows)
    }


async def test_a_document_replaces_as_a_whole_what_had_its_id(store: Store) -> None:
    await store.upsert([document_of("a", 1, 2, 3, metadata={"old": 1}, acl=("x",), title="before")])
    first = await store.document("a")
    await store.upsert([document_of("a", 4, metadata={"new": 1})])
    second = await store.document("a", with_text=True)
    assert first is not None
    assert second is not None
    assert (second.version, second.metadata, second.acl, second.passages) == (2, {"new": 1}, (), 1)
    assert second.created_at == first.created_at
    assert second.updated_at >= first.updated_at
    assert ids_of((await store.scroll(9))[0]) == ["a#0"]
    assert (await store.search(Query(9, text="word1 before"))).hits == ()
    assert ids_of(await store.search(Query(9, vector=vector_of(1)))) == ["a#0"]
    assert await store.count(parse_filter({"old": 1})) == (await store.facets("old", 9)).total == 0


async def test_of_one_id_given_twice_the_last_counts(store: Store) -> None:
    await store.upsert([document_of("a", 1), document_of("b", 2), document_of("a", 3)])
    stored = await store.document("a", with_text=True)
    assert stored is not None
    assert (stored.version, (stored.text or "").strip()) == (1, "word3")
    assert await store.count() == 2


async def test_a_point_and_a_document_without_passages_are_documents(store: Store) -> None:
    await store.upsert([point_of("p", 1, text="lone"), document_of("empty")])
    assert [document.id for document in await store.documents(9)] == ["empty", "p"]
    assert ids_of((await store.scroll(9))[0]) == ["p"]
    (point,) = await store.points(["p"])
    assert (point.id, point.document_id, point.text) == ("p", "p", "lone")
    assert await store.count() == 1


async def test_a_write_of_nothing_changes_nothing(store: Store) -> None:
    await store.upsert([document_of("a", 1)])
    before = await everything_of(store)
    await store.upsert([])
    assert await store.delete([]) == 0
    assert await everything_of(store) == before


async def test_stamps_are_kept_instead_of_the_next_version_and_now(store: Store) -> None:
    stamps = Stamps(7, "2020-01-01T00:00:00.000Z", "2021-01-01T00:00:00.000Z")
    await store.upsert([document_of("a", 1), document_of("b", 2)], stamps={"a": stamps})
    assert (await store.stamps(["a", "none"])) == {"a": stamps}
    assert (await store.revisions(["a", "b"]))["a"].version == 7
    assert (await store.revisions(["b"]))["b"].version == 1


async def test_stamps_of_what_is_not_written_change_nothing(store: Store) -> None:
    await store.upsert([document_of("a", 1)])
    before = await store.stamps(["a"])
    stamps = Stamps(7, "2020-01-01T00:00:00.000Z", "2021-01-01T00:00:00.000Z")
    await store.upsert([document_of("b", 2)], stamps={"a": stamps})
    assert await store.stamps(["a"]) == before


async def test_what_was_deleted_is_met_by_no_read(store: Store) -> None:
    await store.upsert([document_of("a", 1, 2), document_of("b", 3), point_of("p", 4)])
    assert await store.delete(["a", "a", "p", "none", "b#0"]) == 2
    assert await store.delete(["a"]) == 0
    assert await store.document("a") is None
    assert await store.points(["a#0", "a#1", "p"]) == []
    assert await store.stamps(["a", "p"]) == await store.revisions(["a", "p"]) == {}
    assert ids_of((await store.scroll(9))[0]) == ["b#0"]
    assert ids_of(await store.search(Query(9, vector=vector_of(1)))) == ["b#0"]
    assert (await store.search(Query(9, text="word1"))).hits == ()
    assert await store.count() == (await store.statistics()).points == 1


async def test_a_deleted_id_can_come_back_as_a_new_document(store: Store) -> None:
    await store.upsert([document_of("a", 1)])
    await store.upsert([document_of("a", 1)])
    await store.delete(["a"])
    await store.upsert([document_of("a", 2)])
    assert (await store.revisions(["a"]))["a"].version == 1
    assert ids_of(await store.search(Query(9, text="word1 word2"))) == ["a#0"]


async def test_a_filter_deletes_what_matches_and_nothing_else(store: Store) -> None:
    await store.upsert([document_of(f"d{n}", n, n + 100, metadata={"n": n}) for n in range(10)])
    assert await store.delete_matching(parse_filter({"n": {"$gte": 3}, "document_id": {"$ne": "d5"}})) == 6
    assert [document.id for document in await store.documents(99)] == ["d0", "d1", "d2", "d5"]
    assert await store.count() == 8
    assert await store.delete_matching(parse_filter({"n": 99})) == 0
    assert await store.delete_matching(parse_filter({})) == 4


async def test_writes_of_many_tasks_are_all_there(store: Store) -> None:
    async def write_and_look(n: int) -> None:
        await store.upsert([document_of(f"d{n}", n)])
        assert ids_of(await store.search(Query(1, vector=vector_of(n), exact=True))) == [f"d{n}#0"]
        if n % 3 == 0:
            assert await store.delete([f"d{n}"]) == 1
            assert await store.document(f"d{n}") is None

    async with asyncio.TaskGroup() as tasks:
        for n in range(40):
            tasks.create_task(write_and_look(n))
    assert {document.id for document in await store.documents(99)} == {f"d{n}" for n in range(40) if n % 3}


async def test_a_write_whose_caller_left_is_there_whole_or_not_at_all(store: Store) -> None:
    for n in range(20):
        write = asyncio.create_task(store.upsert([document_of(f"{n}/{part}", part) for part in range(5)]))
        for _ in range(n % 5):
            await asyncio.sleep(0)
        write.cancel()
        await asyncio.wait([write])
    await store.upsert([document_of("behind", 1)])  # what was accepted before this is decided
    written = [document.id.partition("/")[0] for document in await store.documents(999)]
    assert {number: written.count(number) for number in written} == {
        number: 1 if number == "behind" else 5 for number in written
    }
    assert await store.count() == len(written) == (await store.statistics()).points


async def test_everything_is_there_after_a_restart(stores: Any, store: Store) -> None:
    await store.upsert([document_of(f"d{n}", n, n + 1, metadata={"n": n}) for n in range(50)])
    await store.delete([f"d{n}" for n in range(0, 50, 7)])
    await store.patch("d1", DocumentPatch({"patched": True}))
    await store.add_job("job", [b"one", b"two"])
    await store.settle([Receipt("job", 0, {"ok": True})])
    await store.describe("what it is for")
    _, cursor = await store.scroll(5)
    before, rest = await everything_of(store), ids_of((await store.scroll(999, cursor))[0])
    again = await stores.restart("notes")
    assert await everything_of(again) == before
    assert ids_of((await again.scroll(999, cursor))[0]) == rest
    assert again.settings == settings_of(description="what it is for")
    assert [item.payload for item in await again.pending_items("job", 9)] == [b"two"]


async def test_a_collection_that_was_dropped_says_so(stores: Any, store: Store) -> None:
    await store.upsert([document_of("a", 1)])
    await stores.drop("notes")
    for call in (
        store.upsert([document_of("a", 1)]),
        store.search(Query(1, vector=vector_of(1))),
        store.document("a"),
        store.documents(1),
        store.copies(),
        store.stamps(["a"]),
        store.revisions(["a"]),
        store.points(["a#0"]),
        store.scroll(1),
        store.count(),
        store.facets("a", 1),
        store.idf(["a"]),
        store.statistics(),
        store.patch("a", DocumentPatch({})),
        store.delete(["a"]),
        store.delete_matching(parse_filter({})),
        store.describe("x"),
        store.add_job("job", []),
        store.settle([]),
        store.job("job"),
        store.job_results("job"),
        store.pending_items("job", 1),
        store.unfinished_jobs(),
    ):
        with pytest.raises(CollectionNotFound):
            await call


async def test_a_collection_of_a_dropped_ones_name_is_empty(stores: Any, store: Store) -> None:
    await store.upsert([document_of("a", 1)])
    await stores.drop("notes")
    again = await stores.create(settings_of(dim=3, metric="dot"))
    assert await again.documents(9) == []
    assert again.settings == settings_of(dim=3, metric="dot")
    await again.upsert([point_of("a", vector=vector_of(1, 3))])
    assert (await again.revisions(["a"]))["a"].version == 1
