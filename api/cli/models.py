"""``embedd models``: what models a service runs, how they are, and how they come and go."""

from pathlib import Path
from urllib.parse import quote

import click
from msgspec import UNSET, to_builtins
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from api.cli.client import Address, Client
from api.cli.options import service_options
from api.cli.terminal import in_one_line, standard_error, standard_output
from api.schemas import Deleted, Info, ModelInfo
from api.schemas_models import ModelAnswer
from embedd.errors import EmbeddError

_KINDS = ("embedding", "reranking", "generator")


@click.group(invoke_without_command=True)
@service_options
@click.pass_context
def models(ctx: click.Context, *, at: Address) -> None:
    """List the service's models and generators, with their state; add, show and remove further ones."""
    if ctx.invoked_subcommand is not None:
        return
    with Client(at) as client:
        info = client.info()
    standard_output().print(_table(info))


@models.command()
@click.argument("source")
@click.option("--name", help="What requests call it; unless given, as SOURCE is called.")
@click.option("--kind", type=click.Choice(_KINDS), default="embedding", show_default=True)
@click.option("--revision", help="Of a hub id: a commit, a branch or a tag.")
@click.option("--sha256", help="What its weights must have.")
@click.option("--description", default="", help="For people.")
@click.option("--allow-pickle", is_flag=True, help="Load pickled weights, which may run code.")
@click.option("--no-wait", is_flag=True, help="Do not watch it until it is ready.")
@service_options
@click.pass_context
def add(ctx: click.Context, /, *, no_wait: bool, at: Address, **wanted: object) -> None:
    """Add the model SOURCE: a hub id, a folder of the service's machine, s3://bucket/prefix.

    The exit status is 1 if it cannot be loaded.
    """
    body = {name: value for name, value in wanted.items() if value not in (None, "", False)}
    with Client(at) as client:
        model = client.decode(client.send("POST", "/v1/models", json=body), ModelAnswer)
        if not no_wait:
            model = _watch(client, model.id)
    _say(model)
    ctx.exit(1 if model.status == "failed" else 0)


@models.command()
@click.argument("name")
@click.argument("source", required=False)
@click.option("--revision", help="Of a hub id: a commit, a branch or a tag.")
@click.option("--sha256", help="What its weights must have.")
@click.option("--allow-pickle", is_flag=True, help="Load pickled weights, which may run code.")
@click.option(
    "--force",
    is_flag=True,
    help="Even if collections are made with it: they answer 409 until they are embedded again.",
)
@click.option("--no-wait", is_flag=True, help="Do not watch it until it answers.")
@service_options
@click.pass_context
def exchange(
    ctx: click.Context, /, *, name: str, force: bool, no_wait: bool, at: Address, **wanted: object
) -> None:
    """Have the model NAME answer with other weights: those at SOURCE, or what is at its source by now.

    Until they are loaded those that are there answer, and they stay if the others cannot be loaded; the exit
    status is 1 then.
    """
    body = {key: value for key, value in wanted.items() if value not in (None, False)}
    params = {"force": "true"} if force else {}
    with Client(at) as client:
        answer = client.send("PUT", _path_of(name), json=body, params=params)
        model = client.decode(answer, ModelAnswer)
        if not no_wait:
            model = _watch(client, name)
    _say(model)
    ctx.exit(1 if model.status == "failed" or model.reason is not UNSET else 0)


@models.command()
@click.argument("name")
@service_options
def show(*, name: str, at: Address) -> None:
    """Show what is known of the model NAME."""
    with Client(at) as client:
        model = client.decode(client.send("GET", _path_of(name)), ModelAnswer)
    for key, value in to_builtins(model).items():
        if key not in ("object", "created", "owned_by"):
            standard_output().print(f"{key}: {in_one_line(str(value))}", markup=False, soft_wrap=True)


@models.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Also if collections are made with it.")
@service_options
def remove(*, name: str, force: bool, at: Address) -> None:
    """Remove the model NAME, which was added; its files stay."""
    params = {"force": "true"} if force else {}
    with Client(at) as client:
        deleted = client.decode(client.send("DELETE", _path_of(name), params=params), Deleted).deleted
    click.echo(f"{name} was removed." if deleted else f"There is no model {name}.")


@models.command()
@click.argument("name")
@service_options
def enable(*, name: str, at: Address) -> None:
    """Load the model NAME again."""
    _say(_change(name, at, enabled=True))


@models.command()
@click.argument("name")
@service_options
def disable(*, name: str, at: Address) -> None:
    """End the model NAME and keep it in the list."""
    _say(_change(name, at, enabled=False))


@models.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("uri", metavar="S3://BUCKET/PREFIX")
@click.option(
    "--s3-endpoint",
    envvar="EMBEDD_S3_ENDPOINT",
    show_envvar=True,
    help="Address of the S3 service; unless given, Amazon's.",
)
@click.option("--allow-pickle", is_flag=True, help="Push pickled weights as well.")
def push(*, folder: Path, uri: str, s3_endpoint: str | None, allow_pickle: bool) -> None:
    """Upload the model in FOLDER into a bucket, with the sums of its files; needs the extra s3."""
    from embedd.pushing import push as push_folder  # noqa: PLC0415 - the other commands start without it
    from embedd.specs import lies_in_bucket  # noqa: PLC0415

    if not lies_in_bucket(uri):
        raise click.BadParameter(f"{uri!r} is not s3://<bucket>/<prefix>", param_hint="S3://BUCKET/PREFIX")
    console = standard_error()
    columns = (BarColumn(), DownloadColumn())
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as shown:
            task = shown.add_task("", total=None)
            entries = push_folder(
                folder,
                uri,
                endpoint=s3_endpoint,
                allow_pickle=allow_pickle,
                sent=lambda count: shown.advance(task, count),
            )
    except (EmbeddError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{len(entries)} files, {decimal(sum(entry.size for entry in entries))} are at {uri}")


def _change(name: str, at: Address, *, enabled: bool) -> ModelAnswer:
    with Client(at) as client:
        return client.decode(client.send("PATCH", _path_of(name), json={"enabled": enabled}), ModelAnswer)


def _path_of(name: str) -> str:
    return f"/v1/models/{quote(name)}"


def _watch(client: Client, name: str) -> ModelAnswer:
    """Show every event of the model where a person looks; gives the last one."""
    console = standard_error()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as shown:
        task = shown.add_task("", total=None)
        for model in client.events("GET", f"{_path_of(name)}/events", ModelAnswer):
            shown.update(task, description=model.status if model.coming is UNSET else model.coming)
            if model.progress is not UNSET:
                shown.update(task, completed=model.progress.bytes, total=model.progress.bytes_total)
    return model


def _say(model: ModelAnswer) -> None:
    reason = "" if model.reason is UNSET else f": {in_one_line(model.reason)}"
    standard_output().print(f"{model.id} is {model.status}{reason}", markup=False, soft_wrap=True)


def _table(info: Info) -> Table:
    defaults = {info.default_model, info.default_reranker, info.generator}
    table = Table(box=None, pad_edge=False)
    for heading in ("Name", "Kind", "Status", "Runs on", ""):
        table.add_column(heading, overflow="fold")
    for model in info.models:
        name = Text(in_one_line(model.name), style="bold" if model.name in defaults else "")
        note = in_one_line(model.reason or ("default" if model.name in defaults else ""))
        table.add_row(name, model.kind, model.status, _place(model), Text(note))
    return table


def _place(model: ModelInfo) -> str:
    return " ".join(str(part) for part in (model.device, model.dtype) if part is not UNSET)
