"""``embedd jobs``: what a service does while nobody waits, and how to watch and end it."""

from datetime import timedelta
from urllib.parse import quote

import click
from msgspec import UNSET
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TextColumn

from api.cli.client import Address, Client
from api.cli.options import service_options
from api.cli.terminal import in_one_line, standard_error, standard_output
from api.schemas_jobs import JobAnswer, JobList


@click.group()
def jobs() -> None:
    """List, show, follow and cancel jobs."""


@jobs.command("list")
@click.option("--collection", "-c", help="Those of one collection alone.")
@service_options
def list_all(*, collection: str | None, at: Address) -> None:
    """List the newest jobs, newest first."""
    params = {} if collection is None else {"collection": collection}
    with Client(at) as client:
        found = client.decode(client.send("GET", "/v1/jobs", params=params), JobList).jobs
    for job in found:
        _say(job)
    if not found:
        click.echo("There are no jobs.")


@jobs.command()
@click.argument("id", metavar="ID")
@service_options
def show(*, id: str, at: Address) -> None:
    """Show how far the job ID is, and which documents failed."""
    with Client(at) as client:
        _report(client.decode(client.send("GET", _path_of(id)), JobAnswer))


@jobs.command()
@click.argument("id", metavar="ID")
@service_options
def cancel(*, id: str, at: Address) -> None:
    """End the job ID: what it has written stays, what waits is dropped."""
    with Client(at) as client:
        _report(client.decode(client.send("DELETE", _path_of(id)), JobAnswer))


@jobs.command()
@click.argument("id", metavar="ID")
@service_options
@click.pass_context
def follow(ctx: click.Context, *, id: str, at: Address) -> None:
    """Watch the job ID until it has ended; the exit status is 1 if it was cancelled or documents failed."""
    with Client(at) as client:
        job = _watch(client, id)
    _report(job)
    ctx.exit(0 if job.status == "finished" and not job.failed and not job.error else 1)


def _path_of(id: str) -> str:
    return f"/v1/jobs/{quote(id, safe='')}"


def _watch(client: Client, id: str) -> JobAnswer:
    """Show every event of the job where a person looks; gives the last one."""
    console = standard_error()
    columns = (BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as shown:
        task = shown.add_task("")
        for job in client.events("GET", f"{_path_of(id)}/events", JobAnswer):
            total, done = _measure(job)
            shown.update(task, total=total, completed=done, description=_standing(job))
    return job


def _measure(job: JobAnswer) -> tuple[int, int]:
    """The whole and the part that is done, in bytes where they are known."""
    at = job.progress
    return (at.bytes_total, at.bytes) if at.bytes_total else (max(at.documents_total, 1), at.documents)


def _standing(job: JobAnswer) -> str:
    at = job.progress
    words = f"{at.documents:,} of {at.documents_total:,} documents, {at.passages:,} passages"
    if at.bytes_total:
        words += f", {decimal(at.bytes)} of {decimal(at.bytes_total)}"
    if at.rate:
        words += f", {at.rate:,.1f} documents/s"
    if job.status == "running" and at.seconds_left is not None:
        words += f", {timedelta(seconds=round(at.seconds_left))} left"
    return words


def _say(job: JobAnswer) -> None:
    standard_output().print(f"{job.id}: {job.status}, {_standing(job)}", markup=False, soft_wrap=True)


def _report(job: JobAnswer) -> None:
    """One line of what came of it so far, then the failures."""
    _say(job)
    complaints = standard_error()
    if job.error:
        complaints.print(in_one_line(job.error), markup=False, soft_wrap=True)
    for document in job.documents or ():
        if document.status == "failed":
            reason = in_one_line(document.error) if document.error is not UNSET else "no reason given"
            complaints.print(f"  {in_one_line(document.id)}: {reason}", markup=False, soft_wrap=True)
