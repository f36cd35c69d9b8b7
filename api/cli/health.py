"""``embedd health``: whether the service of this machine is well, for container engines and their like."""

import ssl
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path

import click

from api.cli.configuration import setting_options, settings_from
from api.settings import Settings

_PATHS = {"alive": "/healthz", "started": "/startupz", "ready": "/readyz"}
_WITHIN_S = 3.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound here


@click.command()
@click.option(
    "--probe", type=click.Choice(list(_PATHS)), default="alive", show_default=True, help="What is asked."
)
@click.option(
    "--cert",
    type=click.Path(path_type=Path),
    envvar="EMBEDD_CERT",
    show_envvar=True,
    help="Certificate with its key (PEM), where the service asks for one; unless given, the service's own.",
)
@setting_options
def health(*, probe: str, cert: Path | None, **flags: str | None) -> None:
    """Ask the service that these settings start whether it is well; ends with 1 if not.

    It is asked where it listens, over TLS where it has certificates, which must be its own. No key is needed.
    """
    settings = settings_from(flags)
    host = _ANYWHERE.get(settings.host, settings.host)
    try:
        with closing(_connection(settings, host, cert)) as connection:
            connection.request("GET", _PATHS[probe])
            response = connection.getresponse()
            body = response.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        raise click.ClickException(f"no answer from {host} port {settings.port}: {error}") from error
    if response.status != HTTPStatus.OK:
        raise click.ClickException(f"not {probe} ({response.status}): {body.strip()}")
    click.echo(probe)


def _connection(settings: Settings, host: str, cert: Path | None) -> HTTPConnection:
    if settings.tls_cert is None:
        return HTTPConnection(host, settings.port, timeout=_WITHIN_S)
    # No authority says that this machine may be called so: what is trusted is the certificate itself.
    context = ssl.create_default_context(cafile=settings.tls_cert)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if settings.tls_client_ca is not None:
        context.load_cert_chain(cert or settings.tls_cert, None if cert else settings.tls_key)
    return HTTPSConnection(host, settings.port, timeout=_WITHIN_S, context=context)
