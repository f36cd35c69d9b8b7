"""``embedd collections``: what collections there are, and making and deleting them."""

import click
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from api.cli.client import Address, Client
from api.cli.options import service_options
from api.cli.terminal import in_one_line, standard_output
from api.schemas import CollectionAnswer

json_option = click.option("--json", "as_json", is_flag=True, help="Print the service's answer as it is.")


@click.group()
def collections() -> None:
    """List, show, create and delete collections."""


@collections.command("list")
@json_option
@service_options
def list_all(*, as_json: bool, at: Address) -> None:
    """List all collections and their sizes."""
    with Client(at) as client:
        answer = client.collections()
        found = client.collections_of(answer)
    if as_json:
        click.echo(answer)
    elif found:
        standard_output().print(_table(found))
    else:
        click.echo("There are no collections.")


@collections.command()
@click.argument("name")
@json_option
@service_options
def show(*, name: str, as_json: bool, at: Address) -> None:
    """Show the settings and sizes of the collection NAME."""
    with Client(at) as client:
        _print_one(client, client.collection(name), as_json=as_json)


@collections.command()
@click.argument("name")
@click.option("--model", help="The embedding model; the service's default one unless said otherwise.")
@click.option("--dim", type=click.IntRange(1, 4_096), help="Bring your own vectors, of so many numbers.")
@click.option(
    "--metric",
    type=click.Choice(["cosine", "dot", "l2"]),
    default="cosine",
    show_default=True,
    help="How vectors are compared.",
)
@click.option("--description", help="What it is for.")
@click.option(
    "--tokenizer",
    type=click.Choice(["porter", "unicode61", "trigram"]),
    default="porter",
    show_default=True,
    help="How words are found: by English stems, as they are, or by any three characters.",
)
@click.option(
    "--quantization",
    type=click.Choice(["int8", "none"]),
    help="What the graph keeps of vectors to find candidates by; unless said otherwise, what serves them.",
)
@click.option("--token-vectors", type=click.Choice(["2bit"]), help="Keep what 'rerank: late' needs.")
@click.option("--chunk-tokens", type=click.IntRange(16, 8192), help="Tokens of a passage, at most.")
@json_option
@service_options
def create(
    *,
    name: str,
    model: str | None,
    dim: int | None,
    metric: str,
    description: str | None,
    tokenizer: str,
    quantization: str | None,
    token_vectors: str | None,
    chunk_tokens: int | None,
    as_json: bool,
    at: Address,
) -> None:
    """Create the collection NAME.

    One that has these settings already is as good.
    """
    optional = {
        "model": model,
        "dim": dim,
        "description": description,
        "quantization": quantization,
        "token_vectors": token_vectors,
        "chunk_tokens": chunk_tokens,
    }
    body = {"metric": metric, "tokenizer": tokenizer} | {
        key: value for key, value in optional.items() if value is not None
    }
    with Client(at) as client:
        _print_one(client, client.create_collection(name, body), as_json=as_json)


@collections.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@service_options
def delete(*, name: str, yes: bool, at: Address) -> None:
    """Delete the collection NAME with all that is in it."""
    with Client(at) as client:
        if not yes:
            points = client.collection_of(client.collection(name)).points
            click.confirm(f"Delete collection '{name}' with its {points:,} points?", abort=True)
        was_there = client.delete_collection(name)
    click.echo(f"Deleted collection '{name}'." if was_there else f"There was no collection '{name}'.")


def _print_one(client: Client, answer: bytes, *, as_json: bool) -> None:
    if as_json:
        click.echo(answer)
    else:
        standard_output().print(_details(client.collection_of(answer)))


def _table(found: list[CollectionAnswer]) -> Table:
    table = Table("name", "vectors", "documents", "points", "size")
    for column in table.columns[2:]:
        column.justify = "right"
    for one in found:
        table.add_row(
            Text(one.name),
            Text(_vectors(one)),
            f"{one.documents:,}",
            f"{one.points:,}",
            decimal(one.size_bytes),
        )
    return table


def _details(one: CollectionAnswer) -> Table:
    rows = {
        "name": one.name,
        "description": in_one_line(one.description),
        "vectors": _vectors(one),
        "metric": one.metric,
        "words": one.tokenizer,
        "quantization": one.quantization,
        "token vectors": one.token_vectors or "",
        "tokens a passage": "" if one.chunk_tokens is None else f"{one.chunk_tokens:,}",
        "documents": f"{one.documents:,}",
        "points": f"{one.points:,}",
        "size": decimal(one.size_bytes),
    }
    table = Table.grid(padding=(0, 2))
    for label, value in rows.items():
        if value:
            table.add_row(label, Text(value))
    return table


def _vectors(one: CollectionAnswer) -> str:
    """Where its vectors come from, and how long they are."""
    return f"{in_one_line(one.model) if one.model else 'your own'}, {one.dim:,}"
