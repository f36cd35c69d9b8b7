"""The one place that decides who asks and whether they may.

A service without keys serves everybody; whether it may be reached by everybody is `check_exposure`'s to say.
"""

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from api.errors import Forbidden, Unauthenticated
from api.security.addresses import is_loopback
from api.security.identity import ANONYMOUS, Identity, Scope
from api.security.key_file import read_key
from api.security.key_store import Keys
from api.security.keys import Key, matching, parts_of
from api.security.needs import Needs
from api.security.quotas import Quotas
from api.settings import Settings, SettingsError
from index.codec import timestamp

if TYPE_CHECKING:
    from api.security.provider import Fetch
    from api.security.token_keys import TokenKeys

log = structlog.get_logger()

ADMIN_NAME: Final = "admin_key_file"
"""What logs call whoever comes with the key of that setting."""


class ExposedWithoutKeysError(SettingsError):
    """The service would be open to whoever reaches this machine."""


class Verifier(Protocol):
    """Knows callers by what others have signed."""

    async def identity(self, token: str) -> Identity | None:
        """Who comes with it; None if it is not, or no longer, good.

        Raises:
            ProviderUnavailable: that cannot be told now.
        """


@dataclass(frozen=True, slots=True)
class Trusted:
    """Whom the settings let in, beside those who have keys. With ``always`` nobody passes without a key, also
    while there are none.
    """

    always: bool = False
    admin: Key | None = None
    tokens: Verifier | None = None

    def leaves_open(self, keys: Keys) -> bool:
        """Whether whoever asks may do everything."""
        return not (self.always or self.admin or self.tokens) and keys.is_empty


class Gate:
    """Lets callers through: those who have ``keys``, and who is ``trusted``, which may change. ``provider``
    has the keys of an identity provider, if the settings name one.
    """

    def __init__(self, keys: Keys, quotas: Quotas, trusted: Trusted, provider: "TokenKeys | None") -> None:
        self.keys = keys
        self.quotas = quotas
        self.trusted = trusted
        self.provider = provider

    @property
    def is_open(self) -> bool:
        """Whether whoever asks may do everything."""
        return self.trusted.leaves_open(self.keys)

    async def identify(self, credentials: str | None) -> Identity:
        """Who comes with these credentials, a key.

        Raises:
            Unauthenticated: there are none, or they are not, or no longer, good; which of these it is, is
                neither said nor to be seen from the time it takes.
            ProviderUnavailable: it is a token, and cannot be verified now.
        """
        if self.is_open:
            return ANONYMOUS
        if not credentials:
            raise Unauthenticated("this service needs an API key: send it as `Authorization: Bearer <key>`")
        tokens = self.trusted.tokens
        if tokens is not None and credentials.count(".") == 2:  # noqa: PLR2004 - a token has three parts
            return await self._identify_token(credentials, tokens)
        (id, secret), now = parts_of(credentials), timestamp()
        kept, admin = (
            matching(self.keys.find(id), secret, now),
            matching(self.trusted.admin, credentials, now),
        )
        key = kept or admin
        if key is None:
            raise Unauthenticated("the API key is wrong, revoked or expired")
        return key.identity()

    async def _identify_token(self, token: str, tokens: Verifier) -> Identity:
        identity = await tokens.identity(token)
        if identity is None:
            raise Unauthenticated("the token is wrong or expired")
        return identity

    def check(self, identity: Identity, scope: Scope, collection: str | None = None) -> None:
        """Let ``identity`` do what needs ``scope``, in the collection of that name, which is no alias.

        Raises:
            Forbidden: it may not; a collection that does not exist is refused in the same words.
        """
        if scope not in identity.scopes:
            raise Forbidden(f"this needs a key with the scope {scope.value!r}", code="scope_missing")
        if collection is not None and not identity.may_use(collection):
            raise Forbidden(
                f"this key is not for the collection {collection[:80]!r}", code="collection_not_allowed"
            )

    def check_needs(self, identity: Identity, needs: Needs) -> None:
        """Let ``identity`` do what needs these.

        Raises:
            Forbidden: it lacks the scope, or more would be shown than its tags or collections allow.
        """
        if needs.scope is not None:
            self.check(identity, needs.scope)
        if not identity.belongs_to(needs.audience):
            limit = "tags" if needs.audience == "untagged" else "tags or collections"
            raise Forbidden(f"this is not for keys that are limited to {limit}", code="key_is_limited")

    def check_still_valid(self, identity: Identity) -> None:
        """For connections that outlive a request.

        Raises:
            Unauthenticated: the key was revoked, exchanged or has expired, or is needed by now.
        """
        if self.is_open:
            return
        if identity.expires_at is not None:
            if identity.expires_at <= timestamp():
                raise Unauthenticated("the token is wrong or expired")
            return
        key = self.trusted.admin if identity.name == ADMIN_NAME else self.keys.find(identity.name)
        if key is None or key.digest != identity.digest or not key.is_valid(timestamp()):
            raise Unauthenticated("the API key is wrong, revoked or expired")


@asynccontextmanager
async def open_gate(settings: Settings, keys: Keys, quotas: Quotas, fetch: "Fetch") -> AsyncIterator[Gate]:
    """The gate over ``keys``; ``fetch`` gives what is at an address.

    Raises:
        OSError: a file that the settings name cannot be, or holds no key.
        SettingsError: an extra is missing, or there are two kinds of keys for tokens.
        ExposedWithoutKeysError: as `check_exposure`.
    """
    async with _open_provider(settings.jwt_jwks_url, fetch) as provider:
        trusted = read_trusted(settings, provider)
        check_exposure(settings, is_open=trusted.leaves_open(keys))
        yield Gate(keys, quotas, trusted, provider)


def read_trusted(settings: Settings, provider: "TokenKeys | None") -> Trusted:
    """Whom the files that the settings name, and the keys of ``provider``, let in.

    Raises:
        OSError: a file cannot be read, or holds no key.
        SettingsError: an extra is missing, or there are two kinds of keys for tokens.
    """
    path = settings.admin_key_file
    admin = None if path is None else read_key(path, ADMIN_NAME)
    return Trusted(settings.auth == "keys", admin, _tokens(settings, provider))


def _tokens(settings: Settings, provider: "TokenKeys | None") -> Verifier | None:
    if settings.jwt_key_file is None and provider is None:
        return None
    if settings.jwt_key_file is not None and provider is not None:
        raise SettingsError("tokens are verified by jwt_key_file or by jwt_jwks_url: name one of them")
    token_keys = importlib.import_module("api.security.token_keys")  # an extra, where it is needed
    tokens = importlib.import_module("api.security.tokens")
    keys = provider or token_keys.read_token_keys(settings.jwt_key_file)
    verifier: Verifier = tokens.Tokens(keys, issuer=settings.jwt_issuer, audience=settings.jwt_audience)
    return verifier


@asynccontextmanager
async def _open_provider(url: str | None, fetch: "Fetch") -> AsyncIterator["TokenKeys | None"]:
    if url is None:
        yield None
        return
    provider = importlib.import_module("api.security.provider")  # of the extra, too
    async with provider.open_provider(url, fetch) as opened:
        yield opened


def check_exposure(settings: Settings, *, is_open: bool) -> None:
    """Refuse to serve everybody where not only this machine can ask.

    Raises:
        ExposedWithoutKeysError: there are no keys, and nobody has said that this is meant.
    """
    if not is_open or is_loopback(settings.host):
        return
    if settings.insecure_without_keys:
        log.warning("everybody_is_served", host=settings.host)
        return
    if settings.role == "models":
        danger, key = "use its models", "name a file with a key (admin_key_file)"
    else:
        danger = "read and delete everything"
        key = "make a key with `embedd keys create --scope admin <name>`"
    raise ExposedWithoutKeysError(
        f"listening on {settings.host} would let everybody who reaches this machine {danger}: {key}, listen "
        "on 127.0.0.1, or say --insecure-without-keys true if something else keeps strangers out"
    )
