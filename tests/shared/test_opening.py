"""Opening what services share, and what is said where it cannot be opened."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import embedd

from api.settings import Settings, SettingsError, load_settings
from api.storage import open_storage
from index.errors import DatabaseUnusable, DataFolderInUse, StorageFailed


def settings_of(folder: Path, **flags: object) -> Settings:
    return load_settings({"data": folder / "data", "model": "none", **flags})


async def reason(settings: Settings, kind: type[Exception]) -> str:
    with pytest.raises(kind) as failed:
        async with open_storage(settings):
            pass
    return str(failed.value)


def test_without_asyncpg_the_error_names_the_extra(tmp_path: Path) -> None:
    script = (
        "import sys\nsys.modules['asyncpg'] = None\n"
        "from api.app import run\nfrom api.settings import load_settings\n"
        f"flags = {{'data': {str(tmp_path)!r}, 'model': 'none', 'catalog': 'postgresql://host/db'}}\n"
        "sys.exit(run(load_settings(flags), lambda: load_settings(flags)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "embedd[postgres]" in done.stdout + done.stderr


def test_nobody_who_keeps_everything_in_the_data_folder_pays_for_postgresql() -> None:
    script = "import sys, api.app\nprint({'asyncpg', 'pymilvus', 'redis'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("postgresql://ada:secret@127.0.0.1:1/db", StorageFailed),
        ("postgresql://ada:secret@/db", DatabaseUnusable),
        ("postgresql://ada:secret@host/db?schema=No", DatabaseUnusable),
    ],
)
async def test_a_database_that_cannot_be_used_is_named_without_its_password(
    url: str, kind: type[Exception], tmp_path: Path
) -> None:
    assert "secret" not in await reason(settings_of(tmp_path, catalog=url), kind)


async def test_read_replicas_need_a_database_to_follow(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, catalog_replicas=["postgresql://host/db"])
    assert "catalog" in await reason(settings, SettingsError)


async def test_each_service_has_a_data_folder_of_its_own(tmp_path: Path, postgres_url: str) -> None:
    settings = settings_of(tmp_path, catalog=postgres_url)
    async with open_storage(settings):
        await reason(settings, DataFolderInUse)


async def test_what_is_kept_is_not_in_the_data_folder(tmp_path: Path, postgres_url: str) -> None:
    async with open_storage(settings_of(tmp_path, catalog=postgres_url)):
        pass
    files = {path.name for path in (tmp_path / "data").rglob("*") if path.is_file()}
    assert files == {"embedd.lock"}


def test_no_command_shows_a_password(clean_environment: None) -> None:
    replicas = "postgresql://ada:secret@a/db,postgresql://ada:secret@b/db?sslmode=require&sslpassword=secret"
    given = {"EMBEDD_CATALOG": "postgresql://ada:secret@host/db", "EMBEDD_CATALOG_REPLICAS": replicas}
    for words in (["config", "show"], ["config", "show", "--json"], ["config", "check"]):
        shown = embedd(*words, **given, COLUMNS="300")
        assert shown.exit_code == 0, shown.output
        assert "secret" not in shown.output


def test_keys_are_made_listed_and_revoked_without_a_service(postgres_url: str) -> None:
    made = embedd("keys", "create", "boss", "--scope", "admin", "--catalog", postgres_url)
    assert re.fullmatch(r"embedd_[0-9a-f]{16}_\S{43}", made.stdout.strip()), made.stderr
    id = made.stdout.split("_")[1]
    assert "valid" in embedd("keys", "list", "--catalog", postgres_url).stdout
    assert embedd("keys", "revoke", id, EMBEDD_CATALOG=postgres_url).exit_code == 0
    assert "revoked" in embedd("keys", "list", EMBEDD_CATALOG=postgres_url, COLUMNS="200").stdout
    wrong = embedd("keys", "list", "--catalog", "postgresql://ada:secret@127.0.0.1:1/db")
    assert (wrong.exit_code, "secret" in wrong.output) == (1, False)
