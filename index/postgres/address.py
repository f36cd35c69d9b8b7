"""The address of a database, as a setting says it: ``postgresql://user:password@host:port/database``.

There may be several hosts, with commas between them: a primary and standbys that may become it. ``?schema=``
names the schema that everything is in, ``?sslmode=`` and the like are PostgreSQL's own.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from index.errors import DatabaseUnusable

SCHEME: Final = "postgresql://"
DEFAULT_SCHEMA: Final = "embedd"
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
# Of libpq's, those that the client here knows as well.
_OPTIONS: Final = frozenset(
    {"sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslpassword", "target_session_attrs"}
)
# Which of several hosts is meant, and that it is the one that takes writes.
_WANTED: Final = "target_session_attrs"
_PRIMARY: Final = "read-write"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is. ``url`` has the password; as text it is without."""

    url: str
    shown: str
    schema: str

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"Address({self.shown!r}, schema={self.schema!r})"


def parse_address(url: str) -> Address:
    """The address that ``url`` says.

    Raises:
        DatabaseUnusable: it says none; the message has no password.
    """
    try:
        parts = urlsplit(url)
        hosts = _hosts(parts)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError as error:
        raise _wrong("it cannot be read") from error
    if parts.scheme != "postgresql":
        raise _wrong(f"it must begin with {SCHEME}")
    if not all(hosts):
        raise _wrong("it names no host")
    if not parts.path.strip("/"):
        raise _wrong("it names no database behind the host")
    schema = options.pop("schema", DEFAULT_SCHEMA)
    if not _SCHEMA.fullmatch(schema) or schema.startswith("pg_"):
        raise _wrong(f"{schema!r} is no schema: a-z, 0-9 and '_', not beginning with a digit or 'pg_'")
    if unknown := options.keys() - _OPTIONS:
        raise _wrong(f"it has an option {min(unknown)!r}; there are schema, {', '.join(sorted(_OPTIONS))}")
    if len(hosts) > 1:
        options.setdefault(_WANTED, _PRIMARY)
    bare = parts._replace(query=urlencode(options), fragment="")
    user = f"{parts.username}@" if parts.username else ""
    return Address(bare.geturl(), f"{SCHEME}{user}{','.join(hosts)}{parts.path}", schema)


def _hosts(parts: SplitResult) -> list[str]:
    """Each with its port, if it has one; raises ValueError for what is none."""
    found = [urlsplit(f"//{host}") for host in parts.netloc.rpartition("@")[2].split(",")]
    return [host.netloc if host.hostname and (host.port is None or host.port) else "" for host in found]


def _wrong(why: str) -> DatabaseUnusable:
    return DatabaseUnusable(f"{why}: the URL of a PostgreSQL is {SCHEME}user:password@host:port/database")
