"""``embedd search``: the passages that fit a query best."""

import re
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from api.cli.client import Address, Client
from api.cli.options import JsonObject, collection_option, service_options
from api.cli.terminal import in_one_line, standard_output
from api.schemas import SearchHit

_SNIPPET_CHARACTERS = 240


@click.command()
@click.argument("query")
@collection_option
@click.option("--k", "-k", type=click.IntRange(1, 10_000), default=5, show_default=True, help="Results.")
@click.option(
    "--mode",
    type=click.Choice(["hybrid", "dense", "lexical"]),
    default="hybrid",
    show_default=True,
    help="By meaning and words, by meaning, or by words.",
)
@click.option("--rerank", metavar="HOW", help="'late', or a reranking model, has the last word on the order.")
@click.option(
    "--filter", "filter_", type=JsonObject(), help='Conditions on metadata: {"year": {"$gte": 2020}}'
)
@click.option("--json", "as_json", is_flag=True, help="Print the service's answer as it is.")
@service_options
def search(
    *,
    query: str,
    collection: str,
    k: int,
    mode: str,
    rerank: str | None,
    filter_: dict[str, Any] | None,
    as_json: bool,
    at: Address,
) -> None:
    """Find the passages of a collection that fit QUERY best."""
    optional = {"filter": filter_, "rerank": rerank}
    body = {"query": query, "k": k, "mode": mode} | {
        name: value for name, value in optional.items() if value is not None
    }
    with Client(at) as client:
        answer = client.search(collection, body)
        hits = client.hits_of(answer).hits
    if as_json:
        click.echo(answer)
    elif hits:
        standard_output().print(_table(hits, query))
    else:
        click.echo(f"Nothing found in collection '{collection}'.")


def _table(hits: list[SearchHit], query: str) -> Table:
    table = Table("score", "document", "passage", show_lines=True)
    for hit in hits:
        table.add_row(f"{hit.score:.3f}", Text(_place(hit)), _highlighted(_text_of(hit), query))
    return table


def _place(hit: SearchHit) -> str:
    page = f", page {hit.page}" if isinstance(hit.page, int) else ""
    title = in_one_line(hit.title)
    id_ = in_one_line(hit.document_id) + page
    return id_ if title in ("", hit.document_id) else f"{title}\n{id_}"


def _text_of(hit: SearchHit) -> str:
    return hit.text if isinstance(hit.text, str) else ""


def _highlighted(text: str, query: str) -> Text:
    """The part of ``text`` around the first word of ``query``, those words in bold."""
    text = in_one_line(text)
    words = _words_of(query)
    found = words.search(text) if words else None
    snippet = Text(_around(text, found.start() if found else 0))
    if words:
        snippet.highlight_regex(words, "bold yellow")
    return snippet


def _words_of(query: str) -> re.Pattern[str] | None:
    """Words of three letters and more, also where they begin a longer one: the lexical search stems, too."""
    words = {re.escape(word) for word in re.findall(r"\w{3,}", query)}
    return re.compile(rf"\b(?:{'|'.join(sorted(words))})\w*", re.IGNORECASE) if words else None


def _around(text: str, position: int) -> str:
    """At most ``_SNIPPET_CHARACTERS`` of ``text``, cut at blanks, with a third of it before ``position``."""
    if len(text) <= _SNIPPET_CHARACTERS:
        return text
    begin = min(max(0, position - _SNIPPET_CHARACTERS // 3), len(text) - _SNIPPET_CHARACTERS)
    if begin:
        begin = text.find(" ", begin) + 1
    piece = text[begin : begin + _SNIPPET_CHARACTERS]
    if begin + len(piece) < len(text):
        piece = piece.rsplit(" ", 1)[0] + " …"
    return ("… " if begin else "") + piece
