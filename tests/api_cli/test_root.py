"""The command as a whole: help, version, wrong usage and exit codes."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from api.cli.root import root

COMMANDS = [
    "serve",
    "config",
    "health",
    "demo",
    "ingest",
    "search",
    "chat",
    "eval",
    "models",
    "collections",
    "jobs",
    "keys",
    "export",
    "import",
    "check",
    "backup",
    "restore",
    "copy",
]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "api", *arguments], capture_output=True, text=True, check=False, timeout=30
    )


def test_help_lists_every_command() -> None:
    shown = CliRunner().invoke(root, ["--help"])
    assert shown.exit_code == 0
    listed = shown.stdout.split("Commands:")[1].splitlines()
    assert [line.split()[0] for line in listed if line] == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    shown = CliRunner().invoke(root, [command, "--help"])
    assert shown.exit_code == 0
    assert f"Usage: root {command} " in shown.stdout


def test_the_installed_command_is_called_embedd() -> None:
    shown = run("--version")
    assert shown.returncode == 0
    assert shown.stdout.startswith("embedd, version ")


def test_an_unknown_command_is_wrong_usage() -> None:
    shown = run("sreve")
    assert shown.returncode == 2
    assert "No such command 'sreve'" in shown.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["ingest"],
        ["search"],
        ["search", "q", "--k", "0"],
        ["search", "q", "--mode", "psychic"],
        ["serve", "x"],
        ["collections", "show"],
        ["collections", "create", "a", "--dim", "4097"],
        ["collections", "create", "a", "--metric", "hamming"],
    ],
)
def test_wrong_usage_ends_with_exit_code_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(root, arguments).exit_code == 2


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://x:port", "http://[::1"])
def test_an_address_that_is_none_is_wrong_usage(url: str) -> None:
    shown = CliRunner().invoke(root, ["search", "q", "--url", url])
    assert shown.exit_code == 2
    assert "is not an address such as http://127.0.0.1:8080" in shown.stderr


@pytest.mark.parametrize(
    "command", [["search", "q"], ["chat", "q"], ["ingest", __file__], ["collections", "list"]]
)
def test_a_service_that_does_not_run_is_told_in_one_line(command: list[str]) -> None:
    shown = CliRunner().invoke(root, [*command, "--url", "127.0.0.1:1"])
    assert shown.exit_code == 1
    (line,) = shown.stderr.splitlines()
    assert line.startswith("Error: cannot reach embedd at http://127.0.0.1:1 (")
    assert "'embedd serve'" in line


def test_a_command_that_talks_to_a_service_loads_none() -> None:
    program = (
        "import sys, api.cli.ingest, api.cli.search, api.cli.chat, api.cli.collections, api.cli.export,"
        " api.cli.import_;"
        "print({'aiohttp', 'torch', 'numpy', 'pydantic'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"
