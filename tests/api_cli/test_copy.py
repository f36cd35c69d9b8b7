"""``embedd copy`` from the outside: there and back, beside a service, killed, followed, refused."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from commands import embedd
from postgres_services import service
from store_samples import document_of, point_of, settings_of
from waiting import until

from index.catalog import open_catalog
from index.growth import GraphTuning
from index.postgres.catalog import PostgresCatalog
from index.postgres.database import Database
from index.rows import Document

_WITHIN_S = 60.0
_AGREES = re.compile(
    r"notes: (?P<documents>[\d,]+) documents, checksum (?P<checksum>[0-9a-f]{16}) on both sides"
)


def make_folder(folder: Path, documents: list[Document]) -> Path:
    async def make() -> None:
        async with open_catalog(folder, GraphTuning(threshold=10**9)) as catalog:
            notes, _ = await catalog.create(settings_of())
            await notes.upsert(documents)
            await catalog.create(settings_of("other"))
            await catalog.assign("latest", "notes")

    asyncio.run(make())
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "data", [document_of("a", 1, 2), point_of("p", 3)])


@contextmanager
def running(*words: str | Path) -> Iterator["subprocess.Popen[str]"]:
    """The command as a process of its own, which is killed at the end if it has not ended by then."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "api", "copy", *map(str, words)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_there_and_back_the_checksum_is_the_same(data: Path, postgres_url: str, tmp_path: Path) -> None:
    there = embedd("copy", str(data), postgres_url)
    assert there.exit_code == 0, there.stderr
    back = embedd("copy", postgres_url, str(tmp_path / "back"))
    assert there.stdout == back.stdout
    assert (found := _AGREES.search(there.stdout)) is not None
    assert found["documents"] == "2"
    assert "other: 0 documents" in there.stdout
    assert "0 API keys, 0 added models and 0 conversations are there as well" in there.stdout
    again = embedd("copy", str(data), postgres_url)
    assert (again.exit_code, again.stdout, again.stderr) == (0, there.stdout, "")


def test_only_what_is_named_is_copied(data: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    assert embedd("copy", str(data), str(target), "-c", "latest", "--as", "renamed").exit_code == 0
    assert sorted(path.name for path in (target / "collections").iterdir()) == ["renamed"]
    shown = embedd("copy", str(data), str(target), "-c", "nothing")
    assert (shown.exit_code, shown.stderr) == (1, "Error: there is no collection 'nothing'\n")


async def test_a_folder_that_a_service_has_is_copied_and_none_is_copied_into(
    data: Path, tmp_path: Path
) -> None:
    async with open_catalog(data) as catalog:
        await (await catalog.get("notes")).upsert([document_of("new", 5)])
        shown = await asyncio.to_thread(embedd, "copy", str(data), str(tmp_path / "target"))
        assert "notes: 3 documents" in shown.stdout
        refused = await asyncio.to_thread(embedd, "copy", str(tmp_path / "target"), str(data))
    assert refused.exit_code == 1
    assert "is in use by another embedd process: stop it, or copy into another folder" in refused.stderr


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("http://127.0.0.1:8080", "b"), "name the data folder of the service"),
        (("a", "mysql://b"), "mysql:// cannot be copied"),
        (("a", "./a"), "SOURCE and TARGET are the same"),
        (("a", "b", "--as", "c"), "--as names one collection"),
        (("a", "b", "--as", "c", "-c", "d", "-c", "e"), "--as names one collection"),
    ],
)
def test_wrong_usage_says_what_to_do(words: tuple[str, ...], why: str) -> None:
    shown = embedd("copy", *words)
    assert shown.exit_code == 2
    assert why in shown.stderr


def test_where_there_is_nothing_to_copy_it_says_so(tmp_path: Path) -> None:
    shown = embedd("copy", str(tmp_path), str(tmp_path / "b"))
    assert (shown.exit_code, "is not a data folder" in shown.stderr) == (1, True)
    (tmp_path / "collections").mkdir()
    shown = embedd("copy", str(tmp_path), str(tmp_path / "b"))
    assert (shown.exit_code, shown.stderr) == (1, "Error: there are no collections in SOURCE\n")


def test_a_difference_is_named_and_the_exit_code_is_1(data: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    embedd("copy", str(data), str(target))

    async def tamper() -> None:
        async with open_catalog(target) as catalog:
            await (await catalog.get("notes")).upsert([document_of("a", 1, 2)])

    asyncio.run(tamper())
    shown = embedd("copy", str(data), str(target))
    assert shown.exit_code == 1
    assert "notes: 1 documents differ: a; source 2 (" in shown.stdout


async def _is_on_the_way(database: Database) -> bool:
    if await database.value("SELECT to_regclass('copies')") is None:
        return False
    return bool(await database.value("SELECT EXISTS (SELECT 1 FROM copies WHERE behind <> '')"))


@pytest.mark.slow
async def test_killed_on_the_way_it_goes_on_where_it_was(postgres_url: str, tmp_path: Path) -> None:
    points = [point_of(f"p{n:05}", n) for n in range(12_000)]
    data = await asyncio.to_thread(make_folder, tmp_path / "data", points)
    async with service(postgres_url, tmp_path / "spool") as (database, catalog):
        with running(data, postgres_url) as copying:
            await until(lambda: _is_on_the_way(database))
            copying.send_signal(signal.SIGKILL)
            assert await asyncio.to_thread(copying.wait, _WITHIN_S) == -signal.SIGKILL
        assert await _is_on_the_way(database)
        before = await _changes(catalog)
        shown = await asyncio.to_thread(embedd, "copy", str(data), postgres_url)
        assert shown.exit_code == 0, shown.stderr
        assert "notes: 12,000 documents, checksum" in shown.stdout
        assert 2_000 <= before < 12_000
        assert await _changes(catalog) <= 12_000 + 2 * 2_560, "at most two batches were written again"


async def _changes(catalog: PostgresCatalog) -> int:
    return (await (await catalog.get("notes")).changes(0, 0)).until


def _read_to(lines: IO[str], start: str) -> None:
    assert any(line.startswith(start) for line in lines)


async def test_it_follows_a_source_that_is_written_to_until_it_is_interrupted(
    postgres_url: str, data: Path, tmp_path: Path
) -> None:
    await asyncio.to_thread(embedd, "copy", str(data), postgres_url)
    back = tmp_path / "back"
    async with service(postgres_url, tmp_path / "spool") as (_, catalog):
        notes = await catalog.get("notes")
        with running(postgres_url, back, "--follow") as copying:
            assert copying.stderr is not None
            await asyncio.to_thread(_read_to, copying.stderr, "following")
            await notes.upsert([document_of("late", n) for n in range(3)])
            await notes.delete(["p"])
            copying.send_signal(signal.SIGINT)
            said, _ = await asyncio.to_thread(copying.communicate, timeout=_WITHIN_S)
        assert copying.returncode == 0
        assert "Behind by nothing" in said
    async with open_catalog(back) as catalog_back:
        there = await catalog_back.get("notes")
        assert [document.id for document in await there.documents(9)] == ["a", "late"]
