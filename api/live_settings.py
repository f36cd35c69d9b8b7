"""Which settings hold as soon as they are read again, and which only from the next start on.

What is not named here is built into something that lives as long as the service: a model, a socket, a cache.
"""

from dataclasses import dataclass
from typing import Final

from api.settings import Settings

RELOADABLE: Final = frozenset(
    {
        "admin_key_file",
        "allowed_hosts",
        "allowed_origins",
        "auth",
        "body_timeout_s",
        "debug_endpoints",
        "drain_timeout_s",
        "insecure_without_keys",
        "jwt_audience",
        "jwt_issuer",
        "jwt_key_file",
        "log_format",
        "log_level",
        "max_documents_per_request",
        "max_points_per_request",
        "max_texts_per_request",
        "metrics_without_key",
        "otlp_sample_ratio",
        "tls_cert",
        "tls_client_ca",
        "tls_key",
    }
)
_TLS: Final = ("tls_cert", "tls_key", "tls_client_ca")


@dataclass(slots=True)
class LiveSettings:
    """The settings that hold ``now``; whoever reads them later may see others."""

    now: Settings


@dataclass(frozen=True, slots=True)
class Change:
    """What settings that were read again change: all those that hold from now on, the names of those that are
    new among them, and of those that are kept ``behind`` until the service starts again.
    """

    settings: Settings
    new: tuple[str, ...]
    behind: tuple[str, ...]


def change_of(now: Settings, read: Settings) -> Change:
    """What ``read`` changes of ``now``."""
    kept = _kept_for_tls(now, read)
    differing = [name for name in Settings.model_fields if getattr(now, name) != getattr(read, name)]
    new = tuple(name for name in differing if name in RELOADABLE and name not in kept)
    behind = tuple(name for name in differing if name not in new and name != "config")
    return Change(now.model_copy(update={name: getattr(read, name) for name in new}), new, behind)


def _kept_for_tls(now: Settings, read: Settings) -> tuple[str, ...]:
    """Certificates change while connections come in; whether there are any does not."""
    turned = any((getattr(now, name) is None) != (getattr(read, name) is None) for name in _TLS)
    return _TLS if turned else ()
