"""Keys that services share."""

from typing import Any

import pytest

from api.errors import Conflict, NotFound
from api.schemas_keys import KeyRequest
from api.security.contract import draft_of
from api.security.identity import Scope
from api.security.keys import Draft
from api.shared import keys
from index.codec import timestamp
from index.errors import StoreUnavailable


def draft(**fields: Any) -> Draft:
    return draft_of(KeyRequest(name="Öl\0", **fields))


async def test_a_key_that_one_makes_is_known_to_the_other_as_it_is(one: Any, two: Any) -> None:
    assert two.keys.is_empty
    full = draft(
        scope=Scope.READ, collections=["a", "b"], acl=["sea"], requests_per_minute=5, tokens_per_minute=7
    )
    made = [(await one.keys.create(wanted))[0] for wanted in (full, draft())]
    await two.news.look()
    assert not two.keys.is_empty
    assert two.keys.all() == one.keys.all() == made
    assert two.keys.find(made[0].id) == made[0]


async def test_a_key_that_one_revokes_is_revoked_at_the_other(one: Any, two: Any) -> None:
    key, _ = await one.keys.create(draft())
    await two.news.look()
    revoked = await two.keys.revoke(key.id)
    assert not two.keys.find(key.id).is_valid(timestamp())
    assert one.keys.find(key.id).is_valid(timestamp())
    await one.news.look()
    assert one.keys.find(key.id) == revoked
    assert await one.keys.revoke(key.id) == revoked


async def test_a_key_that_the_other_has_just_made_can_be_revoked(one: Any, two: Any) -> None:
    key, _ = await one.keys.create(draft())
    assert (await two.keys.revoke(key.id)).revoked_at is not None
    for id in ("none", "no\0ne"):
        with pytest.raises(NotFound):
            await two.keys.revoke(id)


async def test_there_are_so_many_keys_together(one: Any, two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MOST_KEYS", 2)
    for side in (one, two):
        await side.keys.create(draft())
    with pytest.raises(Conflict):
        await one.keys.create(draft())


async def test_nobody_is_let_in_while_nobody_knows_what_was_revoked(
    one: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, _ = await one.keys.create(draft())
    monkeypatch.setattr(keys, "TRUSTED_S", -1.0)
    with pytest.raises(StoreUnavailable, match="cannot be verified"):
        one.keys.find(key.id)
