"""``embedd keys``: makes, lists and revokes API keys, of a running service or in a folder without one."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import click
import msgspec
from msgspec import UNSET
from rich.table import Table

from api.cli.client import Address, Client
from api.cli.data_folder import catalog_option, data_option, stores_in_words
from api.cli.options import service_options_if_any
from api.cli.terminal import in_one_line, standard_output
from api.errors import RequestError
from api.schemas_keys import KeyAnswer, KeyList, KeyRequest, NewKeyAnswer
from api.security.contract import describe, describe_new, draft_of
from api.security.key_store import Keys, open_keys
from api.settings import SettingsError
from api.storage import SQLITE, shared
from index import files
from index.codec import timestamp
from index.errors import DataFolderInUse

T = TypeVar("T")

_PATH = "/v1/keys"


@click.group()
def keys() -> None:
    """Make, list and revoke API keys.

    With --url (or EMBEDD_URL) those of a running service, which asks for a key with the scope admin; without,
    those in a data folder that no service uses, or in the PostgreSQL that services share.
    """


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice(["read", "write", "admin"]),
    default="read",
    show_default=True,
    help="What it may do; each includes those before it.",
)
@click.option(
    "--collection", "-c", "collections", multiple=True, help="The only one that it opens; repeatable."
)
@click.option("--acl", multiple=True, help="Tag that its searches have; repeatable.")
@click.option("--expires-at", type=click.DateTime(), help="When it ends, in UTC.")
@click.option("--requests-per-minute", type=click.IntRange(min=1), help="More are refused.")
@click.option("--tokens-per-minute", type=click.IntRange(min=1), help="Tokens of models; more are refused.")
@service_options_if_any
@data_option
@catalog_option
def create(*, at: Address | None, data: Path, catalog: str, **wanted: Any) -> None:
    """Make a key called NAME and print it: nobody can show it again."""
    request = _request(**wanted)
    if at is not None:
        body = msgspec.to_builtins(request)
        with Client(at) as client:
            made = client.decode(client.send("POST", _PATH, json=body), NewKeyAnswer)
    else:
        made = describe_new(*_without_service(data, catalog, lambda store: store.create(draft_of(request))))
    click.echo(f"Made the key {made.id}. Keep it, it is not shown again:", err=True)
    click.echo(made.key)


@keys.command("list")
@service_options_if_any
@data_option
@catalog_option
def list_all(*, at: Address | None, data: Path, catalog: str) -> None:
    """List all keys, without their secrets."""
    if at is not None:
        with Client(at) as client:
            found = client.decode(client.send("GET", _PATH), KeyList).keys
    else:
        found = [describe(key) for key in _without_service(data, catalog, _all)]
    if not found:
        click.echo("There are no keys.")
        return
    table = Table("id", "name", "scope", "only for", "state")
    for key in found:
        table.add_row(key.id, in_one_line(key.name), key.scope, _limits(key), _state(key))
    standard_output().print(table)


@keys.command()
@click.argument("id", metavar="ID")
@service_options_if_any
@data_option
@catalog_option
def revoke(*, id: str, at: Address | None, data: Path, catalog: str) -> None:
    """Revoke the key ID: from now on it opens nothing."""
    if at is not None:
        with Client(at) as client:
            client.send("DELETE", f"{_PATH}/{quote(id, safe='')}")
    else:
        _without_service(data, catalog, lambda store: store.revoke(id))
    click.echo(f"Revoked the key {in_one_line(id)}")


def _request(
    *, collections: tuple[str, ...], acl: tuple[str, ...], expires_at: datetime | None, **others: Any
) -> KeyRequest:
    fields = {
        "collections": list(collections) or None,
        "acl": list(acl) or None,
        "expires_at": None if expires_at is None else expires_at.replace(tzinfo=UTC),
    }
    try:
        return msgspec.convert(fields | others, KeyRequest)
    except msgspec.ValidationError as error:
        raise click.UsageError(str(error)) from error


def _without_service(data: Path, catalog: str, work: Callable[[Keys], Awaitable[T]]) -> T:
    """Do ``work`` on the keys in ``data``, which no service may use meanwhile, or in a shared ``catalog``."""
    try:
        with stores_in_words():
            return asyncio.run(_on_keys(data, work) if catalog == SQLITE else _on_shared_keys(catalog, work))
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    except RequestError as error:
        raise click.ClickException(str(error)) from error


async def _on_keys(data: Path, work: Callable[[Keys], Awaitable[T]]) -> T:
    try:
        lock = await asyncio.to_thread(files.lock, data)
    except DataFolderInUse as error:
        raise click.ClickException(f"{error}; name that service with --url") from error
    try:
        async with open_keys(data) as store:
            return await work(store)
    finally:
        os.close(lock)


async def _on_shared_keys(catalog: str, work: Callable[[Keys], Awaitable[T]]) -> T:
    async with shared().open_shared_keys(catalog) as keys:
        return await work(keys)


async def _all(store: Keys) -> list[Any]:
    return store.all()


def _limits(key: KeyAnswer) -> str:
    parts = [
        f"{name} {', '.join(map(in_one_line, values))}"
        for name, values in (("collections", key.collections), ("tags", key.acl))
        if values is not UNSET
    ]
    return "; ".join(parts)


def _state(key: KeyAnswer) -> str:
    if key.revoked_at is not UNSET:
        return f"revoked {key.revoked_at}"
    if key.expires_at is UNSET:
        return "valid"
    return f"{'expired' if key.expires_at <= timestamp() else 'valid until'} {key.expires_at}"
