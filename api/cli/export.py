"""``embedd export``: all of a collection into a file, from where the last try broke off."""

import mmap
import os
from pathlib import Path

import click
import msgspec

from api.cli.client import Address, Client
from api.cli.formats import is_parquet, load_parquet
from api.cli.options import collection_option, format_option, service_options
from api.schemas import CollectionAnswer


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@collection_option
@format_option
@service_options
def export(*, file: Path, collection: str, format_: str | None, at: Address) -> None:
    """Write all documents and points of a collection to FILE, as Parquet, or one JSON object a line (also to
    "-").

    They come with their vectors and versions, and 'embedd import' makes the same of them again. FILE.part has
    what there is until all is there, as lines; a try that broke off is taken up where it was.
    """
    parquet = load_parquet("write") if is_parquet(str(file), format_) else None
    with Client(at) as client:
        if str(file) == "-":
            for block in client.export(collection, None):
                click.echo(block, nl=False)
            return
        if file.exists():
            raise click.ClickException(f"{file} exists already: remove it, or name another file")
        part = file.with_name(f"{file.name}.part")
        _export(client, collection, part)
    if parquet is None:
        part.rename(file)
    else:
        parquet.write_parquet(part, file)
        part.unlink()
    click.echo(f"Exported {collection} to {file}")


def _export(client: Client, collection: str, part: Path) -> None:
    part.touch()
    after = _last_id(part, client.collection_of(client.collection(collection)))
    with part.open("ab") as lines:
        for block in client.export(collection, after):
            lines.write(block)
        lines.flush()
        os.fsync(lines.fileno())


def _last_id(part: Path, collection: CollectionAnswer) -> str | None:
    """The id in the last whole line of a file, which is cut behind it; None, and an empty file, without one.

    Raises:
        click.ClickException: it is an export of something else.
    """
    first, last, size = _ends(part)
    if first is None or last is None:
        os.truncate(part, 0)
        return None
    try:
        name = msgspec.json.decode(first)["collection"]["name"]
        id_: str = msgspec.json.decode(last)["id"]
    except (msgspec.DecodeError, KeyError, TypeError):
        name = None
    if name != collection.name:
        raise click.ClickException(
            f"{part} is not of the collection {collection.name!r}: remove it, or name another file"
        )
    os.truncate(part, size)
    return id_


def _ends(part: Path) -> tuple[bytes | None, bytes | None, int]:
    """The first line, the last whole one behind it, and the bytes up to its end."""
    if part.stat().st_size == 0:
        return None, None, 0
    with part.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        head, end = content.find(b"\n"), content.rfind(b"\n")
        if head == end:  # no line, or no second one
            return None, None, 0
        return content[:head], content[content.rfind(b"\n", 0, end) + 1 : end], end + 1
