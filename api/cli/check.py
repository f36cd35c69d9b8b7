"""``embedd check``: whether everything in a data folder is whole."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from api.cli.data_folder import data_option, stores_in_words
from index.check import CheckReport, Problem, check_folder


@click.command()
@data_option
@click.option(
    "--repair",
    is_flag=True,
    help="Make full-text indexes anew, and remove graphs that cannot be used and what a crash left behind.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def check(ctx: click.Context, *, data: Path, repair: bool, as_json: bool) -> None:
    """Check a data folder (or a backup) that no service uses: SQLite's files, full text, vectors, graphs.

    The exit code is 0 if nothing is wrong or everything was repaired, else 1. Documents and vectors
    themselves cannot be repaired: restore a backup.
    """
    with stores_in_words():
        report = check_folder(data, repair=repair)
    click.echo(json.dumps(_described(report, data)) if as_json else _told(report))
    ctx.exit(0 if report.whole else 1)


def _described(report: CheckReport, data: Path) -> dict[str, object]:
    problems = [asdict(problem) for problem in report.problems]
    return {
        "data": str(data),
        "whole": report.whole,
        "collections": report.collections,
        "problems": problems,
    }


def _told(report: CheckReport) -> str:
    checked = f"{_counted(len(report.collections), 'collection')} checked: "
    found = _counted(len(report.problems), "problem") if report.problems else "everything is whole"
    return "\n".join([checked + found, *map(_line, report.problems)])


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _line(problem: Problem) -> str:
    where = f"{problem.collection}: " if problem.collection else ""
    return f"  {where}{problem.part}: {problem.message}{' (repaired)' if problem.repaired else ''}"
