"""The command tree. A command's module is imported when the command is named, so that each starts fast."""

import builtins
import keyword
from importlib.metadata import version

import click

from api.cli.quick_import import quick_import

_MODULES = {
    "serve": "api.cli.serve",
    "config": "api.cli.config",
    "health": "api.cli.health",
    "demo": "api.cli.demo",
    "ingest": "api.cli.ingest",
    "search": "api.cli.search",
    "chat": "api.cli.chat",
    "eval": "api.cli.eval",
    "models": "api.cli.models",
    "collections": "api.cli.collections",
    "jobs": "api.cli.jobs",
    "keys": "api.cli.keys",
    "export": "api.cli.export",
    "import": "api.cli.import_",
    "check": "api.cli.check",
    "backup": "api.cli.backup",
    "restore": "api.cli.backup",
    "copy": "api.cli.copy",
}


class LazyGroup(click.Group):
    """A group that finds command ``x`` as the attribute ``x`` of its module (``x_``, where ``x`` is Python's
    own word), in the order of ``_MODULES``.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _MODULES:
            return None
        is_pythons = keyword.iskeyword(cmd_name) or hasattr(builtins, cmd_name)
        name = f"{cmd_name}_" if is_pythons else cmd_name
        command = getattr(quick_import(_MODULES[cmd_name]), name)
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(version("embedd"), prog_name="embedd")
def root() -> None:
    """Embed, store, search and chat over your own documents."""
