"""``embedd ingest``: files, folders, patterns and standard input into a collection."""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import click
from rich.console import Console

from api.cli.client import Address, Client, Upload
from api.cli.ingestion import Send, Tally, refuse_larger, size_of
from api.cli.ingestion import ingest as send_all
from api.cli.options import JsonObject, collection_option, service_options
from api.cli.progress import display
from api.cli.selection import SUFFIXES, Selection, select
from api.cli.sync import Comparison, Plan, check_folder, delete, gone_from
from api.cli.terminal import in_one_line, standard_error, standard_output

_STANDARD_INPUT = "-"


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATHS...")
@collection_option
@click.option("--id", "id_", help="Document id of standard input.  [default: stdin]")
@click.option("--metadata", type=JsonObject(), help="Metadata for every document, as a JSON object.")
@click.option("--password", help="Password of encrypted PDF files.")
@click.option("--expires-at", metavar="MOMENT", help="When the documents go, such as 2030-01-01T00:00:00Z.")
@click.option("--acl", multiple=True, metavar="TAG", help="Tag of those who may see them; may be repeated.")
@click.option("--sync", is_flag=True, help="Also delete what is in the collection and not in the folder.")
@click.option("--dry-run", is_flag=True, help="Write nothing, and say what would be done.")
@service_options
@click.pass_context
def ingest(
    ctx: click.Context,
    *,
    paths: tuple[str, ...],
    collection: str,
    id_: str | None,
    metadata: dict[str, Any] | None,
    password: str | None,
    expires_at: str | None,
    acl: tuple[str, ...],
    sync: bool,
    dry_run: bool,
    at: Address,
) -> None:
    """Ingest PATHS: files, folders, quoted patterns such as 'docs/**/*.md', or - for standard input.

    Text, PDF, office documents, books, mails and tables are read. Inside folders the document ids are
    relative paths, and hidden files and other types are left out. Running it again only ingests what has
    changed. With --sync the collection becomes equal to a folder: documents that are no files in it are
    deleted.
    """
    selection = _selected(paths, id_)
    if sync:
        _check_synced(paths, selection)
    if not selection.uploads:
        raise click.ClickException(f"nothing to ingest{_left_out(selection)}")
    fields = {
        "metadata": None if metadata is None else json.dumps(metadata),
        "password": password,
        "expires_at": expires_at,
        "acl": json.dumps(acl) if acl else None,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    with Client(at) as client:
        if dry_run:
            tally = _compare(client, collection, selection, given, sync=sync)
        else:
            tally = _ingest(client, collection, selection, given, sync=sync)
    ctx.exit(1 if tally.failures else 0)


def _ingest(
    client: Client, collection: str, selection: Selection, fields: Mapping[str, str], *, sync: bool
) -> Tally:
    client.ensure_collection(collection)
    send = refuse_larger(partial(client.upload, collection, fields=fields), client, selection.uploads)
    tally = send_with_progress(selection.uploads, send)
    deleted = delete(client, collection, gone_from(client, collection, tally.ids)) if sync else 0
    gone = f"; {_counted(deleted, 'document')} deleted" if deleted else ""
    report(tally, collection, gone + _left_out(selection))
    return tally


def _compare(
    client: Client, collection: str, selection: Selection, fields: Mapping[str, str], *, sync: bool
) -> Tally:
    compare = Comparison(client, collection, fields)
    tally = send_with_progress(selection.uploads, refuse_larger(compare, client, selection.uploads))
    plan = Plan(compare.outcomes, gone_from(client, collection, tally.ids) if sync else ())
    counts = Counter(word for word, _ in plan.lines())
    for word, id_ in plan.lines():
        _print(standard_output(), f"{word:<8} {in_one_line(id_)}")
    _print(
        standard_output(),
        f"Dry run, nothing was written: {counts['new']:,} new, {counts['changed']:,} changed, "
        f"{counts['deleted']:,} to delete, {tally.unchanged:,} unchanged in collection '{collection}'"
        f"{_left_out(selection)}",
    )
    _complain(tally)
    return tally


def send_with_progress(uploads: Sequence[Upload], send: Send) -> Tally:
    """Ingest ``uploads`` and show how it gets on, on standard error."""
    console = standard_error()
    with display(console, len(uploads), sum(map(size_of, uploads))) as shown:
        return send_all(uploads, send, shown.show)


def report(tally: Tally, collection: str, left_out: str = "") -> None:
    """Say what came of it: the sum on standard output, each failure with its reason on standard error."""
    done = tally.documents - len(tally.failures)
    unchanged = f" ({tally.unchanged} unchanged)" if tally.unchanged else ""
    _print(
        standard_output(),
        f"{_counted(done, 'document')}{unchanged} with {_counted(tally.passages, 'passage')} "
        f"in collection '{collection}'{left_out}",
    )
    _complain(tally)


def _complain(tally: Tally) -> None:
    complaints = standard_error()
    if tally.failures:
        _print(complaints, f"{_counted(len(tally.failures), 'document')} failed:")
    for id_, reason in tally.failures:
        _print(complaints, f"  {in_one_line(id_)}: {in_one_line(reason)}")


def _selected(paths: Sequence[str], id_: str | None) -> Selection:
    names = [path for path in paths if path != _STANDARD_INPUT]
    if id_ is not None and len(names) == len(paths):
        raise click.UsageError("--id names the document that standard input becomes: add - to the paths")
    selection = select(names)
    if len(names) == len(paths):
        return selection
    return Selection((*selection.uploads, _piped(id_ or "stdin", sys.stdin.buffer.read())), selection.skipped)


def _check_synced(paths: Sequence[str], selection: Selection) -> None:
    if len(paths) != 1 or not Path(paths[0]).is_dir():
        raise click.UsageError("--sync makes a collection equal to one folder: name that folder alone")
    check_folder(selection)


def _piped(id_: str, content: bytes) -> Upload:
    """Standard input has no name to tell its type from, unless the id ends like one."""
    if PurePath(id_).suffix.lower() in SUFFIXES:
        return Upload(id_, content)
    return Upload(id_, content, "application/pdf" if content.startswith(b"%PDF-") else "text/plain")


def _left_out(selection: Selection) -> str:
    reasons = [f"{count} {reason}" for reason, count in selection.skipped.most_common()]
    return f"; left out: {', '.join(reasons)}" if reasons else ""


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _print(console: Console, line: str) -> None:
    console.print(line, markup=False, soft_wrap=True)
