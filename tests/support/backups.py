"""A data folder that has everything a backup is made of, and what is in such folders."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from index import files
from index.catalog import open_catalog
from index.rows import CollectionSettings, Document

DIM = 8


async def fill(folder: Path, make_document: Callable[..., Document]) -> Path:
    """A closed data folder: two collections, an upload, and files and databases beside them."""
    async with open_catalog(folder) as catalog:
        for name in ("notes", "other"):
            collection, _ = await catalog.create(CollectionSettings(name, DIM, description=name))
            await collection.upsert([make_document(f"{name}-{n}", n) for n in range(20)])
    (folder / "collections" / "notes" / "uploads" / "job-0").write_bytes(b"waits")
    (folder / "calibration").mkdir()
    (folder / "calibration" / "abc.json").write_text("[1]")
    (folder / "aliases.json").write_text('{"now": "notes"}')
    for name in files.DATABASES:
        write_value(folder / name, "first")
    return folder


def write_value(database: Path, value: str) -> None:
    """The one value in a database, now this."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("PRAGMA user_version = 1")
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value TEXT)")
        connection.execute("DELETE FROM kept")
        connection.execute("INSERT INTO kept VALUES (?)", [value])


def value_in(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        return str(connection.execute("SELECT value FROM kept").fetchone()[0])


def content(folder: Path) -> dict[str, bytes]:
    """Every file, but for the lock."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name != "embedd.lock"}


async def documents_in(data: Path, name: str) -> dict[str, int]:
    async with open_catalog(data) as catalog:
        return {each.id: each.version for each in await (await catalog.get(name)).documents(1000)}
