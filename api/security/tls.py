"""Certificates: of the service, of clients that it asks for some, and what it shows other servers."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from api.settings import Settings, SettingsError


class TlsNotUsableError(SettingsError):
    """The files that the settings name cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What the files hold, in PEM."""

    cert: bytes
    key: bytes
    client_ca: bytes | None


def read_tls_files(settings: Settings) -> TlsFiles | None:
    """What the files hold that `tls_context` has looked at; None without encryption.

    Raises:
        OSError: one cannot be read.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    client_ca = None if settings.tls_client_ca is None else settings.tls_client_ca.read_bytes()
    return TlsFiles(settings.tls_cert.read_bytes(), settings.tls_key.read_bytes(), client_ca)


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """How connections are encrypted; None if they are not.

    Raises:
        TlsNotUsableError: a file is missing, is not what it should be, or does not fit the others.
    """
    cert, key, client_ca = settings.tls_cert, settings.tls_key, settings.tls_client_ca
    if cert is None or key is None:
        if not (cert is key is client_ca is None):
            raise TlsNotUsableError("TLS needs both tls_cert and tls_key; tls_client_ca goes with them")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load_chain(context, cert, key)
    if client_ca is not None:
        _load_authorities(context, "tls_client_ca", client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def remote_context(settings: Settings) -> ssl.SSLContext | None:
    """How this service speaks to servers of models; None if the settings say nothing of it.

    Raises:
        TlsNotUsableError: a file is missing, is not what it should be, or does not fit the others.
    """
    ca, cert, key = settings.remote_ca, settings.remote_cert, settings.remote_key
    if (cert is None) != (key is None):
        raise TlsNotUsableError("a certificate for servers of models needs both remote_cert and remote_key")
    if ca is None and cert is None:
        return None
    context = ssl.create_default_context() if ca is None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca is not None:
        _load_authorities(context, "remote_ca", ca)
    if cert is not None and key is not None:
        _load_chain(context, cert, key, "remote")
    return context


def _load_chain(context: ssl.SSLContext, cert: Path, key: Path, side: str = "tls") -> None:
    for name, path in ((f"{side}_cert", cert), (f"{side}_key", key)):
        _check_readable(name, path)

    def no_password() -> str:
        raise TlsNotUsableError(f"{side}_key is encrypted: a service has nobody to ask for its password")

    try:
        context.load_cert_chain(cert, key, password=no_password)
    except ssl.SSLError as error:
        raise TlsNotUsableError(
            f"{side}_cert {cert} and {side}_key {key} are no PEM certificate with its own key: "
            f"{_reason(error)}"
        ) from error


def _load_authorities(context: ssl.SSLContext, name: str, path: Path) -> None:
    _check_readable(name, path)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise TlsNotUsableError(f"{name} {path} has no PEM certificates: {_reason(error)}") from error


def _check_readable(name: str, path: Path) -> None:
    """The library does not say which of its files it could not read."""
    try:
        path.read_bytes()
    except OSError as error:
        raise TlsNotUsableError(f"{name} {path} cannot be read: {error.strerror}") from error


def _reason(error: ssl.SSLError) -> str:
    return error.reason or str(error)
