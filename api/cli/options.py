"""The options that several commands share, and how they are checked."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from api.cli.client import Address

DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_COLLECTION = "documents"


class JsonObject(click.ParamType[dict[str, Any]]):
    """A JSON object, typed on the command line."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        try:
            decoded = json.loads(value)
        except ValueError as error:
            self.fail(f"not JSON: {error}", param, ctx)
        if not isinstance(decoded, dict):
            self.fail('must be a JSON object such as {"lang": "en"}', param, ctx)
        return decoded


class ServiceUrl(click.ParamType[str]):
    """Where a service listens; ``host:port`` alone means http."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        url = str(value) if "://" in str(value) else f"http://{value}"
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            self.fail(f"{value!r} is not an address such as {DEFAULT_URL}", param, ctx)
        return url


def service_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``at``: the running service, which is this machine's unless it is said."""
    return _service_options(command, DEFAULT_URL)


def service_options_if_any(command: Callable[..., Any]) -> Callable[..., Any]:
    """``at``: the running service that is named, or None."""
    return _service_options(command, None)


def _service_options(command: Callable[..., Any], default: str | None) -> Callable[..., Any]:
    @functools.wraps(command)
    def at_service(
        *, url: str | None, api_key: str | None, cacert: Path | None, cert: Path | None, **others: Any
    ) -> Any:
        return command(at=None if url is None else Address(url, api_key, cacert, cert), **others)

    options = (
        click.option(
            "--url",
            type=ServiceUrl(),
            envvar="EMBEDD_URL",
            show_envvar=True,
            default=default,
            show_default=True,
            help="The running service.",
        ),
        click.option(
            "--api-key", envvar="EMBEDD_API_KEY", show_envvar=True, help="Key that the service asks for."
        ),
        click.option(
            "--cacert",
            type=click.Path(path_type=Path),
            envvar="EMBEDD_CACERT",
            show_envvar=True,
            help="Certificates (PEM) that the service's own may rest on.",
        ),
        click.option(
            "--cert",
            type=click.Path(path_type=Path),
            envvar="EMBEDD_CERT",
            show_envvar=True,
            help="Certificate with its key (PEM), where the service asks for one.",
        ),
    )
    return functools.reduce(lambda command, option: option(command), reversed(options), at_service)


def format_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``format_``; None stands for what ``is_parquet`` finds in the file's name."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice(["jsonl", "parquet"]),
        help="What FILE is; unless given, its name tells: Parquet ends in .parquet.",
    )(command)


def collection_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--collection", "-c", default=DEFAULT_COLLECTION, show_default=True, help="Name of the collection."
    )(command)
