"""The commands of docs/operations.md that copy between catalogs do so, one after the other."""

import asyncio
import re
import shlex
from pathlib import Path

import pytest
from commands import embedd
from store_samples import document_of, settings_of

from index.catalog import open_catalog

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
_COMMAND = re.compile(r"^\.venv/bin/embedd (copy .*)$", re.MULTILINE)
_URL = re.compile(r"^postgresql://.*")


async def _make(data: Path) -> None:
    async with open_catalog(data) as catalog:
        documents, _ = await catalog.create(settings_of("documents"))
        await documents.upsert([document_of("moon", 1)])


def test_collections_are_moved_as_the_page_says(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asyncio.run(_make(tmp_path / "embedd-data"))
    commands = _COMMAND.findall(PAGE.read_text("utf-8"))
    assert len(commands) == 3
    checksums: set[str] = set()
    for command in commands:
        shown = embedd(*(_URL.sub(postgres_url, word) for word in shlex.split(command)))
        assert shown.exit_code == 0, (command, shown.stderr)
        checksums |= set(re.findall("checksum ([0-9a-f]{16}) on both sides", shown.stdout))
    assert len(checksums) == 1
