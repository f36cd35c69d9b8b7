"""What stands against a copy is said before anything is changed, and what is not the same afterwards."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from copying_places import MakeCopy, Place
from store_samples import document_of, point_of, settings_of

from index.catalog import Catalog
from index.copying import collection as copying
from index.copying.catalog import Wanted
from index.copying.comparison import compare
from index.copying.digests import digest_of
from index.errors import CopyRefused
from index.rows import Document, DocumentCopy, Stamps
from index.store import Store


@pytest.fixture
async def also(source: Catalog) -> Store:
    """Another collection, which comes before "notes"."""
    return (await source.create(settings_of("also")))[0]


async def refused(make_copy: MakeCopy, target: Place, why: str, wanted: Wanted | None = None) -> None:
    before = target[0].names(), dict(target[0].aliases)
    with pytest.raises(CopyRefused, match=why):
        await make_copy(wanted).catch_up()
    assert (target[0].names(), target[0].aliases) == before


@pytest.mark.usefixtures("also", "notes")
async def test_a_collection_with_other_settings(make_copy: MakeCopy, target: Place) -> None:
    await target[0].create(settings_of(metric="l2"))
    why = "'notes' is there with other settings: metric is 'l2' there, not 'cosine'"
    await refused(make_copy, target, why)


@pytest.mark.usefixtures("also", "notes")
async def test_a_collection_with_documents_of_its_own(make_copy: MakeCopy, target: Place) -> None:
    there, _ = await target[0].create(settings_of())
    await there.upsert([point_of("theirs")])
    await refused(make_copy, target, "'notes' has documents that no copy has written")
    assert await there.count() == 1


@pytest.mark.usefixtures("notes")
async def test_an_empty_collection_is_as_good_as_none(make_copy: MakeCopy, target: Place) -> None:
    await target[0].create(settings_of())
    copy = make_copy()
    await copy.catch_up()
    assert (await compare(copy.copies[0])).agrees


@pytest.mark.usefixtures("also", "notes")
async def test_a_copy_of_something_else(make_copy: MakeCopy, target: Place) -> None:
    await make_copy(Wanted(["notes"], "x")).catch_up()
    await refused(make_copy, target, "'x' is a copy of another collection than 'also'", Wanted(["also"], "x"))


@pytest.mark.usefixtures("also")
async def test_a_copy_that_others_have_written_to(
    make_copy: MakeCopy, target: Place, notes: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "MOST_DOCUMENTS", 1)
    await make_copy().catch_up()
    there = await target[0].get("notes")
    await there.upsert([point_of(f"theirs{n}") for n in range(3)])
    await notes.upsert([document_of("theirs1", 1)])
    await refused(make_copy, target, "'notes' was written to by others since it was copied")
    assert (await there.document("theirs1")).is_point  # type: ignore[union-attr]


@pytest.mark.usefixtures("also", "notes")
async def test_names_that_stand_for_something_else_there(
    source: Catalog, make_copy: MakeCopy, target: Place
) -> None:
    await target[0].create(settings_of("theirs"))
    await target[0].assign("notes", "theirs")
    await refused(make_copy, target, "'notes' is an alias of 'theirs' there")
    await target[0].unassign("notes")
    await source.assign("theirs", "notes")
    await refused(make_copy, target, "'theirs' is an alias here, and a collection there")
    await source.unassign("theirs")
    await source.assign("latest", "notes")
    await target[0].assign("latest", "theirs")
    await refused(make_copy, target, "the alias 'latest' stands for 'theirs' there")


async def test_a_source_that_was_dropped_and_made_anew(
    source: Catalog, notes: Store, make_copy: MakeCopy
) -> None:
    copy = make_copy()
    await copy.catch_up()
    await source.drop("notes")
    await source.create(settings_of())
    with pytest.raises(CopyRefused, match="is not the collection any more"):
        await copy.catch_up()


async def test_documents_that_are_not_the_same_are_named(
    notes: Store, make_copy: MakeCopy, target: Place
) -> None:
    copy = make_copy()
    await copy.catch_up()
    there = await target[0].get("notes")
    await there.delete(["d001"])
    await there.upsert([document_of("d002", 2, 3, metadata={"n": 2})])
    await there.upsert([point_of("theirs", 1)])
    comparison = await compare(copy.copies[0])
    assert not comparison.agrees
    assert comparison.differing == ("d001", "d002", "theirs")
    assert comparison.source.documents == comparison.target.documents == 11
    assert comparison.source.checksum != comparison.target.checksum


async def test_a_change_that_does_not_arrive_as_it_was_written_is_named(
    notes: Store, make_copy: MakeCopy, target: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = make_copy()
    await copy.catch_up()
    await notes.upsert([document_of("d001", 1), document_of("d002", 2)])
    there = copy.copies[0].target
    upsert = there.upsert

    async def losing(documents: Sequence[Document], **options: Any) -> None:
        lossy = [replace(each, title="lost") if each.id == "d001" else each for each in documents]
        await upsert(lossy, **options)

    monkeypatch.setattr(there, "upsert", losing)
    await copy.catch_up()
    assert copy.copies[0].differing == {"d001"}
    monkeypatch.undo()
    await notes.upsert([document_of("d001", 1)])
    await copy.catch_up()
    assert copy.copies[0].differing == set()


def test_a_digest_has_all_of_a_document() -> None:
    document = document_of("a", 1, 2)
    stamps = Stamps(1, "2020-01-01T00:00:00.000Z", "2020-01-01T00:00:00.000Z")
    first, second = document.passages
    nearly = np.nextafter(first.vector, np.float32(9))
    others = [
        *(
            replace(document, **{name: "other"})
            for name in ("id", "title", "text", "media_type", "expires_at")
        ),
        *(replace(document, metadata=metadata) for metadata in ({"a": 1}, {"a": 1.0}, {"a": True})),
        replace(document, content_hash=b"x"),
        replace(document, acl=("a",)),
        replace(document, passages=(second, first)),
        *(replace(document, passages=passages) for passages in ((first,), (first, first), ())),
        *(
            replace(document, passages=(replace(first, **{name: value}), second))
            for name, value in {
                **dict.fromkeys(("text", "heading", "digest"), "other"),
                **dict.fromkeys(("start", "end", "page", "tokens"), 99),
                "vector": nearly,
                "token_vectors": b"x",
            }.items()
        ),
    ]
    copies = [
        *(DocumentCopy(each, stamps) for each in (document, *others)),
        DocumentCopy(document, None),
        DocumentCopy(document, replace(stamps, version=2)),
        DocumentCopy(document, replace(stamps, created_at="2021-01-01T00:00:00.000Z")),
        DocumentCopy(document, replace(stamps, updated_at="2021-01-01T00:00:00.000Z")),
    ]
    assert len({digest_of(copy) for copy in copies}) == len(copies)
    assert digest_of(copies[0]) == digest_of(DocumentCopy(document_of("a", 1, 2), stamps))
