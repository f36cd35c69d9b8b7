"""``embedd backup`` and ``embedd restore`` from the outside."""

import asyncio
from pathlib import Path

import pytest
from asking import client_of, expect
from click.testing import CliRunner, Result

from api.app import open_services
from api.cli.backup import formats
from api.cli.root import root
from api.settings import Settings, load_settings
from index import files
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


async def test_keys_models_and_conversations_are_in_a_backup_of_a_running_service(tmp_path: Path) -> None:
    def settings(data: Path) -> Settings:
        return load_settings({"data": data, "model": "none", "port": 0})

    async with open_services(settings(tmp_path / "data")) as services, client_of(services) as client:
        model = {"source": "fake", "name": "spare", "enabled": False}
        await expect(await client.post("/v1/models", json=model), 201)
        kept = await expect(await client.post("/v1/conversations", json={"title": "Tides"}), 201)
        key = await expect(await client.post("/v1/keys", json={"name": "laptop", "scope": "admin"}), 201)
        shown = await asyncio.to_thread(run, "backup", tmp_path / "backup", "--data", tmp_path / "data")
        assert shown.exit_code == 0, shown.stderr
    shown = await asyncio.to_thread(run, "restore", tmp_path / "backup", "--data", tmp_path / "new")
    assert shown.exit_code == 0, shown.stderr
    async with open_services(settings(tmp_path / "new")) as services, client_of(services) as client:
        assert (await client.get("/v1/models")).status == 401
        for path in ("/v1/models/spare", f"/v1/conversations/{kept['id']}"):
            answer = await client.get(path, headers={"Authorization": f"Bearer {key['key']}"})
            await expect(answer, 200)


def test_every_database_of_the_service_is_known_to_backups() -> None:
    assert formats().keys() == set(files.DATABASES)


def test_one_collection_is_enough(data: Path, tmp_path: Path) -> None:
    target, new = tmp_path / "backup", tmp_path / "new"
    assert run("backup", target, "--data", data, "-c", "other").exit_code == 0
    assert run("restore", target, "--data", new, "-c", "other").stdout == f"Restored other into {new}\n"


def test_nothing_is_replaced_unless_it_is_said(data: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    run("backup", target, "--data", data)
    shown = run("restore", target, "--data", data)
    assert (shown.exit_code, shown.stderr) == (1, "Error: already there, and not replaced: notes, other\n")
    assert run("restore", target, "--data", data, "--replace").exit_code == 0


def test_a_folder_without_a_backup_is_one_line(tmp_path: Path) -> None:
    shown = run("restore", tmp_path, "--data", tmp_path / "new")
    assert (shown.exit_code, shown.stderr) == (
        1,
        f"Error: {tmp_path} is not a backup: it has no manifest.json\n",
    )
