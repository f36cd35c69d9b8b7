"""JSON Web Tokens (RFC 7519) of an identity provider, instead of keys.

A token must expire. Where the keys come from that they are verified with is not known here.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import jwt

from api.security.identity import Identity, Scope
from api.security.token_keys import TokenKey, TokenKeys
from index.codec import timestamp

NAME_PREFIX: Final = "jwt:"
"""Before the subject of a token where callers are named; ids of keys have no colon."""
_SCOPE_PREFIX: Final = "embedd:"
_LEEWAY_S: Final = 30


class Tokens:
    """Tokens that one of ``keys`` has signed, from ``issuer`` and for ``audience``, where these are given."""

    def __init__(self, keys: TokenKeys, *, issuer: str | None, audience: str | None) -> None:
        self._keys = keys
        self._issuer, self._audience = issuer, audience

    async def identity(self, token: str) -> Identity | None:
        """Who comes with it; None if it is not, or no longer, good.

        Raises:
            ProviderUnavailable: it is not known which keys there are.
        """
        try:
            kid = jwt.get_unverified_header(token).get("kid", "")
            key = await self._keys.find(kid)
            return None if key is None else self._verified(token, key)
        except (jwt.PyJWTError, ValueError, OverflowError):
            return None

    def _verified(self, token: str, key: TokenKey) -> Identity:
        claims = jwt.decode(
            token,
            key.key,
            algorithms=key.algorithms,
            audience=self._audience,
            issuer=self._issuer,
            leeway=_LEEWAY_S,
            options={"require": ["exp", "sub"], "verify_aud": self._audience is not None},
        )
        return _identity(claims)


def _identity(claims: Mapping[str, Any]) -> Identity:
    """Raises:
    ValueError: a claim is not what it should be.
    """
    acl, collections = _names(claims, "embedd_acl"), _names(claims, "embedd_collections")
    given = str(claims.get("scope", "")).split()
    scopes = [scope.included() for scope in Scope if f"{_SCOPE_PREFIX}{scope.value}" in given]
    allowed = frozenset[Scope]().union(*scopes)
    return Identity(
        name=f"{NAME_PREFIX}{claims['sub']}"[:200],
        scopes=allowed if acl is None else allowed & {Scope.READ},  # who has tags only reads
        collections=None if collections is None else frozenset(collections),
        acl=acl,
        expires_at=timestamp(datetime.fromtimestamp(float(claims["exp"]) + _LEEWAY_S, UTC)),
    )


def _names(claims: Mapping[str, Any], claim: str) -> tuple[str, ...] | None:
    value = claims.get(claim)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"{claim} must be a list of texts")
    return tuple(value)
