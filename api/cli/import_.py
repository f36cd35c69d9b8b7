"""``embedd import``: an export, or lines that are made like one, into a collection."""

from http import HTTPStatus
from typing import IO, Any

import click
import msgspec

from api.cli.client import Client, ServiceError
from api.cli.ingestion import patiently
from api.cli.options import collection_option, url_option
from api.schemas_transfer import CollectionLine, Imported

_REQUEST_BYTES = 32 * 2**20
_KEPT = ("metric", "description", "tokenizer", "quantization")


@click.command()
@click.argument("file", type=click.File("rb"))
@collection_option
@url_option
def import_(*, file: IO[bytes], collection: str, url: str) -> None:
    """Write the documents and points of FILE (or "-"), one JSON object a line, into a collection.

    A collection that is not there is made like the one that was exported. What is there already with the same
    version is left as it is, so an import that broke off is run again.
    """
    with Client(url) as client:
        head = file.readline()
        _ensure_collection(client, collection, head)
        total, lines = Imported(imported=0, unchanged=0), 0
        block = head + _lines(file)
        while block:
            answer = _send(client, collection, block, lines)
            total.imported += answer.imported
            total.unchanged += answer.unchanged
            lines += block.count(b"\n")
            click.echo(f"{lines:,} lines", err=True)
            block = _lines(file)
    click.echo(f"Imported {total.imported:,} documents into {collection}; {total.unchanged:,} were there")


def _lines(file: IO[bytes]) -> bytes:
    return file.read(_REQUEST_BYTES) + file.readline()


def _send(client: Client, collection: str, block: bytes, lines: int) -> Imported:
    try:
        return patiently(lambda: client.import_lines(collection, block))
    except ServiceError as error:
        raise click.ClickException(
            f"behind line {lines:,}: {error.message}" if lines else error.message
        ) from error


def _ensure_collection(client: Client, name: str, head: bytes) -> None:
    try:
        client.collection(name)
    except ServiceError as error:
        settings = _settings(head)
        if error.status != HTTPStatus.NOT_FOUND or settings is None:
            raise
        client.create_collection(name, settings)


def _settings(head: bytes) -> dict[str, Any] | None:
    """What makes a collection like the one in the first line of an export."""
    try:
        exported = msgspec.json.decode(head, type=CollectionLine).collection
    except msgspec.DecodeError:
        return None
    model = ("model", "token_vectors") if exported.get("model") else ("dim",)
    return {key: exported[key] for key in (*_KEPT, *model) if exported.get(key) is not None}
