"""Other names for collections: in their file, and in the catalog."""

import json
import os
from pathlib import Path

import pytest

from index.aliases import FILE_NAME, Aliases
from index.catalog import Catalog, open_catalog
from index.errors import CollectionNotFound, InvalidName, NameTaken, StorageFailed, StorageFull
from index.rows import CollectionSettings


def test_an_alias_stands_for_a_collection_after_a_restart_too(tmp_path: Path) -> None:
    Aliases(tmp_path).change({"live": "notes-2", "old": "notes-1"})
    aliases = Aliases(tmp_path)
    assert [aliases.resolve(name) for name in ("live", "old", "notes-1")] == ["notes-2", "notes-1", "notes-1"]
    assert aliases.of("notes-2") == ["live"]


def test_several_change_at_once(tmp_path: Path) -> None:
    aliases = Aliases(tmp_path)
    aliases.change({"live": "notes-1", "old": "notes-0"})
    aliases.change({"live": "notes-2", "old": None})
    assert aliases.targets == Aliases(tmp_path).targets == {"live": "notes-2"}


@pytest.mark.parametrize("content", ["", "[]", '{"live": 1}', "\xff"])
def test_a_file_that_says_something_else_is_not_guessed_at(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content, encoding="latin-1")
    with pytest.raises(StorageFailed, match=r"aliases\.json"):
        Aliases(tmp_path)


def test_what_cannot_be_written_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aliases = Aliases(tmp_path)
    aliases.change({"live": "notes-1"})
    monkeypatch.setattr(os, "fsync", fail_with(28))
    with pytest.raises(StorageFull):
        aliases.change({"live": "notes-2"})
    monkeypatch.setattr(os, "fsync", fail_with(5))
    with pytest.raises(StorageFailed):
        aliases.change({"live": "notes-2"})
    assert aliases.resolve("live") == "notes-1"
    assert json.loads((tmp_path / FILE_NAME).read_text()) == {"live": "notes-1"}


@pytest.fixture
async def two(catalog: Catalog) -> Catalog:
    """A catalog with the collections "first" and "second"."""
    for name in ("first", "second"):
        await catalog.create(CollectionSettings(name, 8))
    return catalog


async def test_an_alias_is_switched_from_one_request_to_the_next(two: Catalog) -> None:
    assert await two.assign("live", "first")
    assert await two.get("live") is await two.get("first")
    assert not await two.assign("live", "second")
    assert await two.get("live") is await two.get("second")
    assert await two.unassign("live")
    assert not await two.unassign("live")
    with pytest.raises(CollectionNotFound):
        await two.get("live")


async def test_a_name_is_a_collection_or_an_alias_and_never_both(two: Catalog) -> None:
    await two.assign("live", "first")
    with pytest.raises(NameTaken, match="is a collection"):
        await two.assign("second", "first")
    with pytest.raises(NameTaken, match="is an alias of 'first'"):
        await two.assign("newest", "live")
    with pytest.raises(NameTaken, match="is an alias of 'first'"):
        await two.create(CollectionSettings("live", 8))
    with pytest.raises(InvalidName):
        await two.assign("Live!", "first")
    with pytest.raises(CollectionNotFound):
        await two.assign("other", "third")
    assert two.aliases == {"live": "first"}


async def test_no_collection_is_dropped_by_an_alias_and_a_dropped_one_has_none(two: Catalog) -> None:
    await two.assign("live", "first")
    with pytest.raises(NameTaken, match="delete the collection by its own name"):
        await two.drop("live")
    await two.drop("first")
    assert two.aliases == {}


async def test_several_go_from_one_collection_to_another_or_none_does(two: Catalog) -> None:
    await two.assign("live", "first")
    await two.assign("best", "first")
    await two.switch(["live", "best"], "first", "second")
    assert two.aliases == {"live": "second", "best": "second"}
    await two.assign("live", "first")
    await two.switch(["live", "best"], "first", "second")  # one of them is there already
    assert two.aliases == {"live": "second", "best": "second"}
    with pytest.raises(NameTaken, match="'other' is no alias of 'second'"):
        await two.switch(["live", "other"], "second", "first")
    with pytest.raises(CollectionNotFound):
        await two.switch(["live"], "second", "third")
    assert two.aliases == {"live": "second", "best": "second"}


async def test_aliases_of_what_is_gone_are_gone_after_a_restart(tmp_path: Path) -> None:
    async with open_catalog(tmp_path) as catalog:
        await catalog.create(CollectionSettings("first", 8))
        await catalog.assign("live", "first")
    Aliases(tmp_path).change({"lost": "dropped-in-a-crash"})
    async with open_catalog(tmp_path) as catalog:
        assert catalog.aliases == {"live": "first"}


def fail_with(number: int) -> object:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    return fail
