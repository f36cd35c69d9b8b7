"""``embedd config``: what is set, by whom, and whether it can be used. Needs no service."""

import json
from collections.abc import Mapping
from dataclasses import asdict

import click
from rich.table import Table
from rich.text import Text

from api.cli.configuration import ConfigurationError, setting_options
from api.cli.terminal import in_one_line, standard_output
from api.setting_sources import Value, example, stray_variables, values
from api.settings import SettingsError


@click.group()
def config() -> None:
    """Show and check the settings that a service started here would have."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON, one object a setting.")
@click.option("--all", "everything", is_flag=True, help="Also what nobody has set.")
@setting_options
def show(*, as_json: bool, everything: bool, **flags: str | None) -> None:
    """Show what is set, and where: by a flag, a variable or the file. Nothing secret is shown."""
    found = [value for value in _read(flags) if everything or value.source != "default"]
    if as_json:
        click.echo(json.dumps([asdict(value) for value in found], indent=2, ensure_ascii=False))
    elif found:
        standard_output().print(_table(found))
    else:
        click.echo("Everything is at its default; --all shows it.")


@config.command()
@setting_options
def check(**flags: str | None) -> None:
    """Check the settings without starting anything; ends with 2 if they cannot be used."""
    found = _read(flags)
    for problem in stray_variables():
        click.echo(f"Warning: {problem}", err=True)
    changed = sum(value.source != "default" for value in found)
    click.echo(f"These settings can be used; {changed} of {len(found)} are not at their default.")


@config.command("example")
def print_example() -> None:
    """Print a settings file with every setting, its meaning and its default."""
    click.echo(example(), nl=False)


def _read(flags: Mapping[str, object]) -> list[Value]:
    try:
        return values(flags)
    except SettingsError as error:
        raise ConfigurationError(str(error)) from error


def _table(found: list[Value]) -> Table:
    table = Table("setting", "value", "from", box=None, pad_edge=False, header_style="bold")
    for one in found:
        table.add_row(
            *(Text(in_one_line(part), overflow="fold") for part in (one.name, one.value, one.source))
        )
    return table
