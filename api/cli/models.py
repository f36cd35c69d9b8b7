"""``embedd models``: what models a service runs, and how they are."""

import click
from msgspec import UNSET
from rich.table import Table
from rich.text import Text

from api.cli.client import Address, Client
from api.cli.options import service_options
from api.cli.terminal import in_one_line, standard_output
from api.schemas import Info, ModelInfo


@click.command()
@service_options
def models(*, at: Address) -> None:
    """List the service's models and generators, with their state."""
    with Client(at) as client:
        info = client.info()
    standard_output().print(_table(info))


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
