"""``embedd import``: an export, or lines that are made like one, into a collection."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any, Final

import click
import msgspec

from api.cli.client import Address, Client, ServiceError
from api.cli.formats import is_parquet, load_parquet
from api.cli.ingestion import patiently
from api.cli.options import collection_option, format_option, service_options
from api.schemas_transfer import CollectionLine, Imported

_REQUEST_BYTES = 32 * 2**20
_LINE: Final = re.compile(r"line (?P<number>\d+): ")
_KEPT = ("metric", "description", "tokenizer", "quantization")


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines for one request; ``name`` says of the service's words about them where in the file that is,
    and ``done`` how far it goes.
    """

    lines: bytes
    name: Callable[[str], str]
    done: str


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
@collection_option
@format_option
@service_options
def import_(*, file: Path, collection: str, format_: str | None, at: Address) -> None:
    """Write the documents and points of FILE into a collection: Parquet, or one JSON object a line (also from
    "-").

    A collection that is not there is made like the one that was exported. What is there already with the same
    version is left as it is, so an import that broke off is run again. A Parquet file from elsewhere needs
    the columns id and vector; those that are not documented become metadata.
    """
    as_parquet = is_parquet(str(file), format_)
    blocks = _parquet_blocks if as_parquet else _line_blocks
    total = Imported(imported=0, unchanged=0)
    with Client(at) as client:
        for block in blocks(client, collection, file):
            answer = _send(client, collection, block)
            total.imported += answer.imported
            total.unchanged += answer.unchanged
            click.echo(block.done, err=True)
    click.echo(f"Imported {total.imported:,} documents into {collection}; {total.unchanged:,} were there")


def _line_blocks(client: Client, collection: str, file: Path) -> Iterator[Block]:
    with click.open_file(str(file), "rb") as source:
        head = source.readline()
        _ensure_collection(client, collection, head)
        block, before = head + _lines(source), 0
        while block:
            count = before + block.count(b"\n")
            behind = f"behind line {before:,}: " if before else ""
            yield Block(block, behind.__add__, f"{count:,} lines")
            block, before = _lines(source), count


def _lines(file: IO[bytes]) -> bytes:
    return file.read(_REQUEST_BYTES) + file.readline()


def _parquet_blocks(client: Client, collection: str, file: Path) -> Iterator[Block]:
    with load_parquet("read").open_parquet(file) as source:
        _ensure_collection(client, collection, source.head)
        dim = client.collection_of(client.collection(collection)).dim
        lines, done = source.lines(dim), 0
        while block := list(_together(lines)):
            place = partial(_in_rows, file, done)
            done += len(block)
            yield Block(source.head + b"".join(block), place, f"{done:,} rows")


def _together(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Lines for one request."""
    size = 0
    while size < _REQUEST_BYTES and (line := next(lines, b"")):
        size += len(line)
        yield line


def _in_rows(file: Path, before: int, message: str) -> str:
    """What was said of a line behind the head, of the row that it was made of."""
    said = _LINE.match(message)
    row = f"row {before + int(said['number']) - 1:,}" if said else f"behind row {before:,}"
    return f"{file}: {row}: {message[said.end() :] if said else message}"


def _send(client: Client, collection: str, block: Block) -> Imported:
    try:
        return patiently(lambda: client.import_lines(collection, block.lines))
    except ServiceError as error:
        raise click.ClickException(block.name(error.message)) from error


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
    model = ("model", "token_vectors", "chunk_tokens") if exported.get("model") else ("dim",)
    return {key: exported[key] for key in (*_KEPT, *model) if exported.get(key) is not None}
