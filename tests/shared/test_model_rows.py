"""Models that were added, as services share them."""

from dataclasses import replace
from typing import Any

import pytest

from api.errors import Conflict
from api.services.model_rows import ModelRow, Outcome

ROW = ModelRow("e5", "embedding", "hub/e5", "für Öl\0", size_bytes=3)


def same(row: ModelRow | None, other: ModelRow) -> bool:
    """But for what each service knows for itself."""
    return row is not None and replace(row, standing=other.standing, reason=other.reason) == other


async def test_a_row_that_one_puts_is_the_others_and_its_standing_is_not(one: Any, two: Any) -> None:
    put = await one.models.settle(await one.models.add(ROW), Outcome("failed", "no disk"))
    await two.news.look()
    found = two.models.get("e5")
    assert same(found, put)
    assert (found.standing, found.reason) == ("registered", "")
    await two.models.change(await two.models.settle(found, Outcome("ready")), description="changed")
    await one.news.look()
    assert (one.models.get("e5").description, one.models.get("e5").standing) == ("changed", "failed")


async def test_of_two_that_add_a_model_at_once_one_hears_of_it(one: Any, two: Any) -> None:
    await one.models.add(ROW)
    with pytest.raises(Conflict, match="another service"):
        await two.models.add(replace(ROW, source="hub/other"))
    await two.models.refresh()
    assert two.models.get("e5").source == "hub/e5"


async def test_whoever_pins_a_model_first_pins_it_for_all(one: Any, two: Any) -> None:
    row = await one.models.add(ROW)
    await two.models.refresh()
    await one.models.settle(row, Outcome("ready", "", "r1", "s1"))
    pinned = await two.models.settle(two.models.get("e5"), Outcome("ready", "", "r2", "s2"))
    assert (pinned.revision, pinned.sha256) == ("r1", "s1")


async def test_what_is_settled_at_one_undoes_nothing_that_another_has_changed(one: Any, two: Any) -> None:
    row = await one.models.add(ROW)
    await two.models.refresh()
    await two.models.change(two.models.get("e5"), enabled=False)
    await two.models.change(two.models.get("e5"), description="of two")
    settled = await one.models.settle(row, Outcome("ready", "", "r1", "s1"))
    assert (settled.enabled, settled.description, settled.sha256) == (False, "of two", "s1")


async def test_another_model_in_its_place_has_pins_of_its_own_and_what_was_is_gone(
    one: Any, two: Any
) -> None:
    row = await one.models.add(replace(ROW, revision="r1", sha256="s1", size_bytes=None))
    await two.models.refresh()
    late = two.models.get("e5")
    other = await one.models.exchange(replace(row, source="hub/e6", revision=None, sha256="s2"))
    assert (other.source, other.revision, other.sha256) == ("hub/e6", None, "s2")
    assert other.created_at > row.created_at
    with pytest.raises(Conflict, match="another service"):
        await two.models.settle(late, Outcome("ready", size_bytes=7))
    with pytest.raises(Conflict, match="another service"):
        await two.models.exchange(late)
    await two.models.refresh()
    assert same(two.models.get("e5"), other)


async def test_what_is_gone_is_not_exchanged(one: Any, two: Any) -> None:
    row = await one.models.add(ROW)
    await two.models.refresh()
    await two.models.remove("e5")
    with pytest.raises(Conflict, match="another service"):
        await one.models.exchange(row)


async def test_what_others_change_is_told_once(one: Any, two: Any) -> None:
    told: list[list[str]] = []
    two.models.on_change(lambda: told.append([row.name for row in two.models]))
    await one.models.add(ROW)
    await two.news.look()
    await two.news.look()
    await one.models.remove("e5")
    await two.news.look()
    assert told == [["e5"], []]


async def test_what_a_service_changes_itself_is_not_told(one: Any) -> None:
    told: list[str] = []
    one.models.on_change(lambda: told.append("changed"))
    await one.models.add(ROW)
    await one.news.look()
    assert told == []
