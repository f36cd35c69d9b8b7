"""Models that were added, as services share them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from api.errors import Conflict
from api.services.model_rows import ModelRow

ROW = ModelRow("e5", "embedding", "hub/e5", "für Öl\0", size_bytes=3)


def same(row: ModelRow | None, other: ModelRow) -> bool:
    """But for what each service knows for itself."""
    return row is not None and replace(row, standing=other.standing, reason=other.reason) == other


async def test_a_row_that_one_puts_is_the_others_and_its_standing_is_not(one: Any, two: Any) -> None:
    put = await one.models.put(replace(ROW, standing="failed", reason="no disk"))
    await two.news.look()
    found = two.models.get("e5")
    assert same(found, put)
    assert (found.standing, found.reason) == ("registered", "")
    await two.models.put(replace(found, description="changed", standing="ready"))
    await one.news.look()
    assert (one.models.get("e5").description, one.models.get("e5").standing) == ("changed", "failed")


async def test_of_two_that_add_a_model_at_once_one_hears_of_it(one: Any, two: Any) -> None:
    await one.models.put(ROW)
    with pytest.raises(Conflict, match="another service"):
        await two.models.put(replace(ROW, source="hub/other"))
    await two.models.refresh()
    assert two.models.get("e5").source == "hub/e5"


async def test_whoever_pins_a_model_first_pins_it_for_all(one: Any, two: Any) -> None:
    row = await one.models.put(ROW)
    await two.models.refresh()
    await one.models.put(replace(row, revision="r1", sha256="s1"))
    pinned = await two.models.put(replace(two.models.get("e5"), revision="r2", sha256="s2"))
    assert (pinned.revision, pinned.sha256) == ("r1", "s1")


async def test_another_model_in_its_place_has_pins_of_its_own_and_what_was_is_gone(
    one: Any, two: Any
) -> None:
    row = await one.models.put(replace(ROW, revision="r1", sha256="s1"))
    await two.models.refresh()
    late = replace(two.models.get("e5"), size_bytes=7)
    other = await one.models.exchange(replace(row, source="hub/e6", revision=None, sha256="s2"))
    assert (other.source, other.revision, other.sha256) == ("hub/e6", None, "s2")
    assert other.created_at > row.created_at
    with pytest.raises(Conflict, match="another service"):
        await two.models.put(late)
    await two.models.refresh()
    assert same(two.models.get("e5"), other)


async def test_what_is_gone_is_not_exchanged(one: Any, two: Any) -> None:
    row = await one.models.put(ROW)
    await two.models.refresh()
    await two.models.remove("e5")
    with pytest.raises(Conflict, match="another service"):
        await one.models.exchange(row)


async def test_what_others_change_is_told_with_what_was_before(one: Any, two: Any) -> None:
    told: list[Mapping[str, ModelRow]] = []
    two.models.on_change(told.append)
    await one.models.put(ROW)
    await two.news.look()
    await two.news.look()
    await one.models.remove("e5")
    await two.news.look()
    assert [list(before) for before in told] == [[], ["e5"]]
    assert list(two.models) == []


async def test_what_a_service_changes_itself_is_not_told(one: Any) -> None:
    told: list[Mapping[str, ModelRow]] = []
    one.models.on_change(told.append)
    await one.models.put(ROW)
    await one.news.look()
    assert told == []
