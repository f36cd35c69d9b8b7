"""The options that several commands share, and how they are checked."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import click

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


def url_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--url",
        type=ServiceUrl(),
        envvar="EMBEDD_URL",
        show_envvar=True,
        default=DEFAULT_URL,
        show_default=True,
        help="The running service.",
    )(command)


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
