"""The one place that decides who asks and whether they may.

A service without keys serves everybody; whether it may be reached by everybody is `check_exposure`'s to say.
"""

from typing import Final, Protocol

import structlog

from api.errors import Forbidden, Unauthenticated
from api.security.addresses import is_loopback
from api.security.identity import ANONYMOUS, Identity, Scope
from api.security.key_file import read_key
from api.security.key_store import Keys
from api.security.keys import Key, matching, parts_of
from api.security.needs import Needs
from api.security.quotas import LocalQuotas, Quotas
from api.settings import Settings, SettingsError
from index.codec import timestamp

log = structlog.get_logger()

ADMIN_NAME: Final = "admin_key_file"
"""What logs call whoever comes with the key of that setting."""


class ExposedWithoutKeysError(SettingsError):
    """The service would be open to whoever reaches this machine."""


class Verifier(Protocol):
    """Knows callers by what others have signed."""

    def identity(self, token: str) -> Identity | None:
        """Who comes with it; None if it is not, or no longer, good."""


class Gate:
    """Lets callers through. With ``always`` nobody passes without a key, also while there are none."""

    def __init__(
        self,
        keys: Keys,
        *,
        always: bool = False,
        admin: Key | None = None,
        tokens: Verifier | None = None,
        quotas: Quotas | None = None,
    ) -> None:
        self.keys = keys
        self._always = always or admin is not None or tokens is not None
        self._tokens = tokens
        self._admin = admin
        self.quotas = quotas or LocalQuotas()

    @property
    def is_open(self) -> bool:
        """Whether whoever asks may do everything."""
        return not self._always and self.keys.is_empty

    async def identify(self, credentials: str | None) -> Identity:
        """Who comes with these credentials, a key.

        Raises:
            Unauthenticated: there are none, or they are not, or no longer, good; which of these it is, is
                neither said nor to be seen from the time it takes.
        """
        if self.is_open:
            return ANONYMOUS
        if not credentials:
            raise Unauthenticated("this service needs an API key: send it as `Authorization: Bearer <key>`")
        if self._tokens is not None and credentials.count(".") == 2:  # noqa: PLR2004 - a token has three parts
            return self._identify_token(credentials, self._tokens)
        (id, secret), now = parts_of(credentials), timestamp()
        kept, admin = matching(self.keys.find(id), secret, now), matching(self._admin, credentials, now)
        key = kept or admin
        if key is None:
            raise Unauthenticated("the API key is wrong, revoked or expired")
        return key.identity()

    def _identify_token(self, token: str, tokens: "Verifier") -> Identity:
        identity = tokens.identity(token)
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
            Unauthenticated: the key was revoked or has expired, or is needed by now.
        """
        if self.is_open:
            return
        if identity.expires_at is not None:
            if identity.expires_at <= timestamp():
                raise Unauthenticated("the token is wrong or expired")
            return
        key = self._admin if identity.name == ADMIN_NAME else self.keys.find(identity.name)
        if key is None or not key.is_valid(timestamp()):
            raise Unauthenticated("the API key is wrong, revoked or expired")


def build_gate(settings: Settings, keys: Keys, quotas: Quotas) -> Gate:
    """The gate over ``keys``.

    Raises:
        OSError: the file with the administrator's key cannot be, or holds none.
        ExposedWithoutKeysError: as `check_exposure`.
    """
    path = settings.admin_key_file
    admin = None if path is None else read_key(path, ADMIN_NAME)
    gate = Gate(keys, always=settings.auth == "keys", admin=admin, tokens=_tokens(settings), quotas=quotas)
    check_exposure(settings, gate)
    return gate


def _tokens(settings: Settings) -> Verifier | None:
    if settings.jwt_key_file is None:
        return None
    from api.security.tokens import Tokens  # noqa: PLC0415 - an extra, where it is needed

    return Tokens(settings.jwt_key_file, issuer=settings.jwt_issuer, audience=settings.jwt_audience)


def check_exposure(settings: Settings, gate: Gate) -> None:
    """Refuse to serve everybody where not only this machine can ask.

    Raises:
        ExposedWithoutKeysError: there are no keys, and nobody has said that this is meant.
    """
    if not gate.is_open or is_loopback(settings.host):
        return
    if settings.insecure_without_keys:
        log.warning("everybody_is_served", host=settings.host)
        return
    raise ExposedWithoutKeysError(
        f"listening on {settings.host} would let everybody who reaches this machine read and delete "
        "everything: make a key with `embedd keys create --scope admin <name>`, listen on 127.0.0.1, or "
        "say --insecure-without-keys true if something else keeps strangers out"
    )
