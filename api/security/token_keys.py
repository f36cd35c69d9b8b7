"""The keys that tokens are verified with, out of a file: PEM, a JSON Web Key Set (RFC 7517), or a secret.

Which algorithms are taken follows from the key, never from the token: a public key is no secret to sign with.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from api.settings import SettingsError

try:
    import jwt
except ImportError as error:
    raise SettingsError("JSON Web Tokens need the extra 'jwt': pip install 'embedd[jwt]'") from error

_SHORTEST_SECRET: Final = 32
_HMAC: Final = ("HS256", "HS384", "HS512")
_PUBLIC: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A key, and the algorithms that it verifies."""

    key: Any
    algorithms: Sequence[str]


class TokenKeys(Protocol):
    """Where the key of a token is looked for."""

    async def find(self, kid: str) -> TokenKey | None:
        """The key that tokens call ``kid``, empty in those that do not say; None if there is none.

        Raises:
            ProviderUnavailable: it is not known which keys there are.
        """


class OneKey:
    """One for all tokens, whatever they call it."""

    def __init__(self, key: TokenKey) -> None:
        self._key = key

    async def find(self, kid: str) -> TokenKey | None:  # noqa: ARG002 - there is one
        return self._key


class KeySet:
    """Keys by their names."""

    def __init__(self, keys: Mapping[str, TokenKey]) -> None:
        self._keys = keys

    async def find(self, kid: str) -> TokenKey | None:
        return self._keys.get(kid)


def read_token_keys(path: Path) -> TokenKeys:
    """The keys in the file of the setting ``jwt_key_file``.

    Raises:
        OSError: it cannot be read, or holds none.
    """
    content = path.read_bytes().strip()
    if content.startswith(b"{"):
        try:
            return KeySet(parse_key_set(content))
        except ValueError as error:
            raise OSError(f"jwt_key_file {path} is no JSON Web Key Set: {error}") from error
    if content.startswith(b"-----BEGIN"):
        _check_public(content, path)
        return OneKey(TokenKey(content, _PUBLIC))
    if len(content) < _SHORTEST_SECRET:
        raise OSError(f"jwt_key_file {path} has a secret of less than {_SHORTEST_SECRET} bytes")
    return OneKey(TokenKey(content, _HMAC))


def parse_key_set(content: bytes, *, public: bool = False) -> dict[str, TokenKey]:
    """The keys of a JSON Web Key Set by their names; with ``public`` without the secret ones.

    Raises:
        ValueError: it is none, or has no key that can be used.
    """
    try:
        found: Iterable[jwt.PyJWK] = jwt.PyJWKSet.from_json(content.decode()).keys
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    keys = {
        key.key_id or "": TokenKey(key, (key.algorithm_name,))
        for key in found
        if key.public_key_use in (None, "sig") and not (public and key.key_type == "oct")
    }
    if not keys:
        raise ValueError("it has no key to verify signatures with")
    return keys


def _check_public(content: bytes, path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415 - of the extra

    try:
        load_pem_public_key(content)
    except ValueError as error:
        raise OSError(f"jwt_key_file {path} has no public key in PEM") from error
