"""Who asks, and what they may do. Never holds the secret by which they were known."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal


class Scope(StrEnum):
    """What a caller may do; each includes those before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def included(self) -> "frozenset[Scope]":
        """This one and those before it."""
        order = list(Scope)
        return frozenset(order[: order.index(self) + 1])


Audience = Literal["all", "untagged", "unlimited"]
"""Whom a route serves beside scopes: everybody; those whose key has no tags, because it shows documents
whatever their tags are; or those whose key has neither tags nor collections, because what it shows belongs to
no collection.
"""


@dataclass(frozen=True, slots=True)
class Quota:
    """What a caller may use up in a minute; None is no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


UNLIMITED: Final = Quota()


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller. ``collections`` are the only ones it may use and ``acl`` the tags that it searches with; None
    is no limit. ``name`` stands in logs; ``expires_at`` (RFC 3339) ends what no kept key could be asked for;
    ``digest`` tells the key from the next one of its name.
    """

    name: str
    scopes: frozenset[Scope]
    collections: frozenset[str] | None = None
    acl: tuple[str, ...] | None = None
    quota: Quota = UNLIMITED
    expires_at: str | None = None
    digest: bytes = field(default=b"", repr=False)

    def may_use(self, collection: str) -> bool:
        """Whether the collection of that name, which is no alias, is among those of the caller."""
        return self.collections is None or collection in self.collections

    def belongs_to(self, audience: Audience) -> bool:
        if audience == "all":
            return True
        return self.acl is None and (audience == "untagged" or self.collections is None)

    def tags(self, asked: Sequence[str] | None) -> Sequence[str] | None:
        """The tags to search with: the caller's own where it has some, else those it ``asked`` with."""
        return asked if self.acl is None else self.acl


ANONYMOUS: Final = Identity("anonymous", Scope.ADMIN.included())
"""Whoever asks a service that has no keys: may do everything."""
