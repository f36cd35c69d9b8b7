"""``embedd backup`` and ``embedd restore``: a data folder, or a collection of it, copied out and back."""

from collections.abc import Sequence
from pathlib import Path

import click

from api.cli.data_folder import data_option, stores_in_words
from api.conversations import sqlite_store
from api.security import key_store
from api.services import model_rows
from index import backup as backups
from index.restore import restore as bring_back


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--collection", "-c", help="Only this one.")
@data_option
def backup(*, target: Path, collection: str | None, data: Path) -> None:
    """Copy the data folder into the new folder TARGET; a service may go on writing meanwhile.

    With everything: collections, conversations, API keys (their digests) and models that were added.
    """
    with stores_in_words():
        manifest = backups.back_up(data, target, collection)
    size = f"{manifest.size_bytes / 1e6:,.1f} MB"
    click.echo(f"Backed up {_named(manifest.collections)}: {size} in {target}")


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--collection", "-c", help="Only this one.")
@click.option("--replace", is_flag=True, help="Replace what is there already.")
@data_option
def restore(*, source: Path, collection: str | None, replace: bool, data: Path) -> None:
    """Bring the backup SOURCE back into a data folder that no service uses.

    Every file is held against its checksum first. What is there already is replaced only with --replace.
    Either all of it is done or nothing.
    """
    with stores_in_words():
        names = bring_back(source, data, collection=collection, replace=replace, formats=formats())
    click.echo(f"Restored {_named(names)} into {data}")


def formats() -> dict[str, int]:
    """The newest that this program knows of each database beside the collections."""
    owners = (sqlite_store, key_store, model_rows)
    return {owner.FILE_NAME: len(owner.MIGRATIONS) for owner in owners}


def _named(names: Sequence[str]) -> str:
    return ", ".join(names) or "no collections"
