"""Files that wait for jobs."""

from pathlib import Path
from typing import Any

import pytest

from index.store import Store

CONTENT = bytes(range(256)) * 4096 * 3 + b"end"
"""Of a few mebibytes, so that it is kept in parts where that is done."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    return file


async def held(store: Store, job_id: str, *positions: int) -> dict[int, bytes | None]:
    async with store.uploads.fetched(job_id, positions) as paths:
        return {place: path.read_bytes() if path.exists() else None for place, path in paths.items()}


async def test_a_file_that_waits_for_a_job_comes_back_as_it_was(
    stores: Any, store: Store, file: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").touch()
    await store.uploads.keep("job", {3: file, 0: tmp_path / "empty"})
    store = await stores.restart("notes")
    assert await held(store, "job", 0, 3) == {0: b"", 3: CONTENT}


async def test_a_file_that_was_never_kept_is_at_a_path_where_nothing_is(store: Store) -> None:
    assert await held(store, "job", 7) == {7: None}


async def test_files_are_gone_when_they_are_dropped(store: Store, file: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"other")
    await store.uploads.keep("job", {0: file})
    await store.uploads.keep("other", {0: tmp_path / "other"})
    await store.uploads.drop("job")
    await store.uploads.drop("none")
    assert await held(store, "job", 0) == {0: None}
    assert await held(store, "other", 0) == {0: b"other"}


async def test_a_sweep_keeps_the_files_of_jobs_that_wait(store: Store, file: Path) -> None:
    await store.uploads.keep("job", {0: file})
    await store.uploads.sweep(["job"])
    assert await held(store, "job", 0) == {0: CONTENT}


async def test_files_go_with_their_collection(stores: Any, store: Store, file: Path) -> None:
    await store.uploads.keep("job", {0: file})
    settings = store.settings
    await stores.drop("notes")
    store = await stores.create(settings)
    assert await held(store, "job", 0) == {0: None}
