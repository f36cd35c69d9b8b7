"""``embedd demo``: the whole way from an empty folder to an answer about the project's own documents."""

import json
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import click

import api
from api.cli.chat import Conversation
from api.cli.client import Client, Upload
from api.cli.configuration import setting_options, settings_from
from api.cli.ingest import report, send_with_progress
from api.cli.options import DEFAULT_URL
from api.cli.service_process import ServiceProcess, listening_port, url_of
from api.cli.terminal import standard_error, standard_output
from api.settings import Settings, flag_of

COLLECTION = "embedd-docs"
QUESTION = "What happens to my data when the process is killed?"
_EXIT_GRACE_S = 10.0


@click.command()
@click.option("--once", is_flag=True, help="Stop after the answer.")
@setting_options
@click.pass_context
def demo(ctx: click.Context, /, *, once: bool, **flags: str | None) -> None:
    """Start a service, ingest embedd's own documentation, ask it a question and keep serving."""
    uploads = project_documents(Path(api.__file__).parents[1])
    settings = settings_from(flags)
    if settings.model == "none":
        raise click.UsageError("the demo needs an embedding model: leave out --model none")
    port = listening_port(settings.host, settings.port)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # end like after Ctrl-C
    service = ServiceProcess(_child_flags(flags, settings, port))
    try:
        with Client(url_of(settings.host, port)) as client:
            _wait_until_ready(service, client)
            _ingest_and_ask(client, uploads)
        if not once:
            _say_how_to_go_on(client.url)
            service.wait()
    except KeyboardInterrupt:
        click.echo("\nStopping the service.", err=True)
    finally:
        code = service.end(settings.drain_timeout_s + _EXIT_GRACE_S)
    ctx.exit(code)


def project_documents(root: Path) -> list[Upload]:
    """The Markdown files at ``root`` and below its ``docs``, with paths relative to it as ids.

    Raises:
        click.ClickException: ``root`` is no checkout of the project.
    """
    if not (root / "README.md").is_file() or not (root / "docs").is_dir():
        raise click.ClickException(
            f"the demo ingests the project's own README.md and docs/, which {root} does not have: "
            "run it from a checkout of the source, or start with 'embedd serve' and 'embedd ingest'"
        )
    named = [root / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
    files = [path for path in named if path.is_file()] + sorted((root / "docs").rglob("*.md"))
    return [Upload(path.relative_to(root).as_posix(), path) for path in files]


def _child_flags(flags: Mapping[str, str | None], settings: Settings, port: int) -> list[str]:
    """What was given here, the port that was found free, and a quiet log unless one was asked for."""
    given = {name: value for name, value in flags.items() if value is not None} | {"port": str(port)}
    if "log_level" not in settings.model_fields_set:
        given["log_level"] = "warning"
    return [word for name, value in given.items() for word in (flag_of(name), value)]


def _wait_until_ready(service: ServiceProcess, client: Client) -> None:
    console = standard_error()
    said: list[str] = []

    def tell(reason: str) -> None:
        if [reason] != said[-1:]:
            said.append(reason)
            status.update(f"Waiting: {reason}")
            if not console.is_terminal:
                click.echo(f"Waiting: {reason}", err=True)

    with console.status("") as status:
        service.wait_until_ready(client, tell)


def _ingest_and_ask(client: Client, uploads: Sequence[Upload]) -> None:
    client.ensure_collection(COLLECTION)
    report(send_with_progress(uploads, partial(client.upload, COLLECTION)), COLLECTION)
    console = standard_output()
    console.print(f"\n> {QUESTION}", style="bold", markup=False)
    Conversation(client, COLLECTION, None, console).ask(QUESTION)


def _say_how_to_go_on(url: str) -> None:
    search = [
        *("curl", f"{url}/v1/collections/{COLLECTION}/search"),
        *("-H", "content-type: application/json", "-d", json.dumps({"query": "settings", "k": 3})),
    ]
    chat = [_installed_command(), "chat", "How do I change the port?", "--collection", COLLECTION]
    click.echo(f"\nServing at {url} until Ctrl-C. Try:")
    click.echo(f"  {shlex.join(search)}")
    click.echo(f"  {shlex.join(chat if url == DEFAULT_URL else [*chat, '--url', url])}")


def _installed_command() -> str:
    """``embedd`` as it can be called from here: a virtual environment need not be on the PATH."""
    command = Path(sys.executable).with_name("embedd")
    return str(command.relative_to(Path.cwd()) if command.is_relative_to(Path.cwd()) else command)
