"""``embedd backup`` and ``embedd restore`` from the outside."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from api.cli.root import root
from index.catalog import open_catalog
from index.rows import CollectionSettings


@pytest.fixture
def data(tmp_path: Path) -> Path:
    async def make() -> None:
        async with open_catalog(tmp_path / "data") as catalog:
            for name in ("notes", "other"):
                await catalog.create(CollectionSettings(name, 8))

    asyncio.run(make())
    return tmp_path / "data"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(root, [str(argument) for argument in arguments])


def test_a_backup_and_what_comes_back_are_told(data: Path, tmp_path: Path) -> None:
    target, new = tmp_path / "backup", tmp_path / "new"
    shown = run("backup", target, "--data", data)
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout.startswith("Backed up notes, other: 0.")
    shown = run("restore", target, "--data", new)
    assert (shown.exit_code, shown.stdout) == (0, f"Restored notes, other into {new}\n")
    assert run("check", "--data", new).exit_code == 0


def test_one_collection_is_enough(data: Path, tmp_path: Path) -> None:
    target, new = tmp_path / "backup", tmp_path / "new"
    assert run("backup", target, "--data", data, "-c", "other").exit_code == 0
    assert run("restore", target, "--data", new, "-c", "other").stdout == f"Restored other into {new}\n"


def test_nothing_is_replaced_unless_it_is_said(data: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    run("backup", target, "--data", data)
    shown = run("restore", target, "--data", data)
    assert (shown.exit_code, shown.stderr) == (1, "Error: notes, other: there already, and not replaced\n")
    assert run("restore", target, "--data", data, "--replace").exit_code == 0


def test_a_folder_without_a_backup_is_one_line(tmp_path: Path) -> None:
    shown = run("restore", tmp_path, "--data", tmp_path / "new")
    assert (shown.exit_code, shown.stderr) == (
        1,
        f"Error: {tmp_path} is not a backup: it has no manifest.json\n",
    )
