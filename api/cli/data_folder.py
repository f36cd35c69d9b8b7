"""What the commands share that work on a data folder themselves, without a service."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from api.cli.configuration import settings_from
from index.errors import StoreError


def data_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The data folder, found as the service finds it."""
    return click.option(
        "--data",
        default=None,
        callback=lambda _ctx, _param, value: settings_from({"data": value}).data,
        help="The data folder.  [env: EMBEDD_DATA]  [default: embedd-data]",
    )(command)


def catalog_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is the catalog, found as the service finds it."""
    return click.option(
        "--catalog",
        default=None,
        callback=lambda _ctx, _param, value: settings_from({"catalog": value}).catalog,
        help="The URL of a PostgreSQL that services share.  [env: EMBEDD_CATALOG]  [default: sqlite]",
    )(command)


@contextmanager
def stores_in_words() -> Iterator[None]:
    """What the store refuses is one line, as what the service refuses."""
    try:
        yield
    except StoreError as error:
        raise click.ClickException(str(error)) from error
