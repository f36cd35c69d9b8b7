"""API keys: ``embedd_<id>_<secret>``, of which only a digest of the secret is kept.

The secret is 256 random bits, so no list of likely ones can be tried against the digest: that is what slow
hashes are for, which would cost each request as much as an attacker. One SHA-256 takes a microsecond and is
as hard to turn round (NIST SP 800-63B, 5.1.1.2 asks for salt and stretching of what people choose; look-up
secrets of 112 bits and more need neither).
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from api.security.identity import UNLIMITED, Identity, Quota, Scope
from index.codec import timestamp

PREFIX: Final = "embedd"
"""By which scanners of repositories know a key that was published."""
_ID_BYTES: Final = 8
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is kept, also when it is revoked. ``name`` is for people; moments are RFC 3339 in UTC."""

    id: str
    name: str
    digest: bytes
    scope: Scope
    created_at: str
    collections: Sequence[str] | None = None
    acl: Sequence[str] | None = None
    expires_at: str | None = None
    revoked_at: str | None = None
    quota: Quota = UNLIMITED

    def is_valid(self, now: str) -> bool:
        """Whether it is neither revoked nor expired at ``now``."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def identity(self) -> Identity:
        """Who comes with it."""
        return Identity(
            name=self.id,
            scopes=self.scope.included(),
            collections=None if self.collections is None else frozenset(self.collections),
            acl=None if self.acl is None else tuple(self.acl),
            quota=self.quota,
            digest=self.digest,
        )


@dataclass(frozen=True, slots=True)
class Draft:
    """A key that is to be made; the fields are those of `Key`."""

    name: str
    scope: Scope = Scope.READ
    collections: Sequence[str] | None = None
    acl: Sequence[str] | None = None
    expires_at: str | None = None
    quota: Quota = UNLIMITED


_NOBODYS: Final = Key("", "", bytes(hashlib.sha256().digest_size), Scope.READ, "", revoked_at="")
"""Compared with where there is no such key, so that this takes as long."""


def mint(draft: Draft) -> tuple[Key, str]:
    """A new key, and the whole of it, which is told once and kept nowhere."""
    id, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    key = Key(
        id=id,
        name=draft.name,
        digest=digest_of(secret),
        scope=draft.scope,
        created_at=timestamp(),
        collections=draft.collections,
        acl=draft.acl,
        expires_at=draft.expires_at,
        quota=draft.quota,
    )
    return key, f"{PREFIX}_{id}_{secret}"


def parts_of(credentials: str) -> tuple[str, str]:
    """The id and the secret of a key as it was sent; of anything else, an id that no key has."""
    prefix, _, rest = credentials.partition("_")
    id, _, secret = rest.partition("_")
    return (id, secret) if prefix == PREFIX else ("", credentials)


def matching(key: Key | None, secret: str, now: str) -> Key | None:
    """``key`` if this is its secret and it is valid at ``now``; whatever is wrong, the same is computed."""
    candidate = key or _NOBODYS
    is_secret = hmac.compare_digest(digest_of(secret), candidate.digest)
    is_valid = candidate.is_valid(now)
    return candidate if is_secret & is_valid else None


def revoked(key: Key) -> Key:
    """The key as it is from now on; one that is revoked already stays as it is."""
    return key if key.revoked_at is not None else replace(key, revoked_at=timestamp())


def digest_of(secret: str) -> bytes:
    """SHA-256; headers may hold bytes that are no UTF-8, which Python keeps as surrogates."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
