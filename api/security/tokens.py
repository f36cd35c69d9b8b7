"""JSON Web Tokens (RFC 7519) of an identity provider, instead of keys.

Which algorithms are taken follows from the key that is configured, never from the token: a public key is no
secret to sign with. A token must expire. Nothing is fetched: the keys of a provider are a file here.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from api.security.identity import Identity, Scope
from api.settings import SettingsError
from index.codec import timestamp

try:
    import jwt
except ImportError as error:
    raise SettingsError("jwt_key_file needs the extra 'jwt': pip install 'embedd[jwt]'") from error

NAME_PREFIX: Final = "jwt:"
"""Before the subject of a token where callers are named; ids of keys have no colon."""
_SCOPE_PREFIX: Final = "embedd:"
_SHORTEST_SECRET: Final = 32
_HMAC: Final = ("HS256", "HS384", "HS512")
_PUBLIC: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_LEEWAY_S: Final = 30


class Tokens:
    """Tokens that the key in ``path`` has signed: PEM, a JSON Web Key Set, or a secret of 32 bytes and more.

    Raises:
        OSError: the file cannot be read, or holds nothing of that.
    """

    def __init__(self, path: Path, *, issuer: str | None, audience: str | None) -> None:
        self._issuer, self._audience = issuer, audience
        content = path.read_bytes().strip()
        self._set: jwt.PyJWKSet | None = None
        self._key: bytes = content
        self._algorithms: Sequence[str] = _HMAC
        if content.startswith(b"{"):
            self._set = _key_set(content, path)
        elif content.startswith(b"-----BEGIN"):
            self._algorithms = _PUBLIC
            _check_public(content, path)
        elif len(content) < _SHORTEST_SECRET:
            raise OSError(f"jwt_key_file {path} has a secret of less than {_SHORTEST_SECRET} bytes")

    def identity(self, token: str) -> Identity | None:
        """Who comes with it; None if it is not, or no longer, good."""
        try:
            key, algorithms = self._key_for(token)
            claims = jwt.decode(
                token,
                key,
                algorithms=algorithms,
                audience=self._audience,
                issuer=self._issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "sub"], "verify_aud": self._audience is not None},
            )
            return _identity(claims)
        except (jwt.PyJWTError, LookupError, ValueError, OverflowError):
            return None

    def _key_for(self, token: str) -> tuple[Any, Sequence[str]]:
        if self._set is None:
            return self._key, self._algorithms
        key = self._set[jwt.get_unverified_header(token).get("kid", "")]
        return key, [key.algorithm_name]


def _key_set(content: bytes, path: Path) -> jwt.PyJWKSet:
    try:
        return jwt.PyJWKSet.from_json(content.decode())
    except (jwt.PyJWTError, ValueError) as error:
        raise OSError(f"jwt_key_file {path} is no JSON Web Key Set: {error}") from error


def _check_public(content: bytes, path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415 - of the extra

    try:
        load_pem_public_key(content)
    except ValueError as error:
        raise OSError(f"jwt_key_file {path} has no public key in PEM") from error


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
