"""``embedd check`` from the outside."""

import asyncio
import json
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
            await catalog.create(CollectionSettings("notes", 8))

    asyncio.run(make())
    return tmp_path / "data"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(root, [str(argument) for argument in arguments])


def test_a_sound_folder_is_a_success(data: Path) -> None:
    shown = run("check", "--data", data)
    assert (shown.exit_code, shown.stdout) == (0, "1 collection checked: everything is whole\n")


def test_the_folder_is_found_as_the_service_finds_it(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDD_DATA", str(data))
    assert run("check").exit_code == 0


def test_what_is_wrong_is_listed_and_a_failure_until_it_is_repaired(data: Path) -> None:
    (data / "collections" / "notes" / "graph.json").write_text("{}")
    shown = run("check", "--data", data)
    assert shown.exit_code == 1
    assert shown.stdout.startswith(
        "1 collection checked: 1 problem\n  notes: graph: the stored graph cannot be used"
    )
    assert run("check", "--data", data, "--repair").exit_code == 0
    assert run("check", "--data", data).exit_code == 0


def test_json_says_it_to_programs(data: Path) -> None:
    (data / "collections" / ".dropped-1").mkdir()
    report = json.loads(run("check", "--data", data, "--repair", "--json").stdout)
    problem = {
        "collection": "",
        "part": "leftovers",
        "message": "collections/.dropped-1 is left of something that was cut short",
        "repaired": True,
    }
    expected = {"data": str(data), "whole": True, "collections": ["notes"], "problems": [problem]}
    assert report == expected


def test_a_folder_of_something_else_is_one_line(tmp_path: Path) -> None:
    shown = run("check", "--data", tmp_path)
    assert shown.exit_code == 1
    assert shown.stderr == f"Error: {tmp_path} is not a data folder: it has no folder 'collections'\n"
