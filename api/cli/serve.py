"""``embedd serve``: the service itself, in the foreground."""

from functools import partial

import click

from api.cli.configuration import setting_options, settings_from
from api.cli.quick_import import quick_import
from api.settings import load_settings


@click.command()
@setting_options
@click.pass_context
def serve(ctx: click.Context, /, **flags: str | None) -> None:
    """Run the service until Ctrl-C or SIGTERM.

    A flag beats its EMBEDD_ variable, the variable beats the YAML file of --config. SIGHUP has the file, and
    the files of keys and certificates, read again.
    """
    settings = settings_from(flags)
    # Imported now: a mistake in the settings and --help are answered without loading the service.
    # structlog would load rich for tracebacks that are written plainly here: a tenth of the start.
    app = quick_import("api.app", without="rich")
    ctx.exit(app.run(settings, partial(load_settings, flags)))
