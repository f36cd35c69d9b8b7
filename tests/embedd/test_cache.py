"""The cache of rows, in memory and in its file."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedd.cache import Cache, CacheLimits, open_cache
from embedd.cache_file import CacheFile

ROWS = {bytes([n]) * 20: bytes([n]) * 1536 for n in range(200)}
KEYS = list(ROWS)


def test_rows_come_back_as_they_were_put() -> None:
    cache = Cache(CacheLimits())
    cache.put(ROWS)
    assert cache.remembered([*KEYS, b"unknown"]) == ROWS


def test_what_was_used_last_is_kept_longest() -> None:
    cache = Cache(CacheLimits(memory_bytes=10_000))
    cache.put({key: ROWS[key] for key in KEYS[:5]})
    cache.remembered([KEYS[0]])
    cache.put({KEYS[5]: ROWS[KEYS[5]]})
    assert cache.remembered(KEYS[:6]).keys() == {KEYS[0], *KEYS[2:6]}


@given(
    steps=st.lists(st.tuples(st.sampled_from(KEYS[:8]), st.binary(max_size=400), st.booleans()), max_size=60)
)
def test_no_more_is_kept_than_may_be_and_nothing_is_mixed_up(steps: list[tuple[bytes, bytes, bool]]) -> None:
    cache, latest = Cache(CacheLimits(memory_bytes=2_000)), {}
    for key, row, ask in steps:
        if ask:
            assert all(latest[key] == row for key, row in cache.remembered([key]).items())
        else:
            cache.put({key: row})
            latest[key] = row
    kept = cache.remembered(latest)
    assert cache.size_bytes == sum(len(row) + 250 for row in kept.values()) <= 2_000


def test_without_memory_nothing_is_remembered() -> None:
    cache = Cache(CacheLimits(memory_bytes=0))
    cache.put(ROWS)
    assert (len(cache), cache.size_bytes, cache.remembered(KEYS)) == (0, 0, {})


async def test_without_a_file_nothing_is_filed() -> None:
    async with open_cache(CacheLimits()) as cache:
        cache.put(ROWS)
        assert await cache.filed(KEYS) == {}


@pytest.mark.parametrize("memory_bytes", [0, 2**20])
async def test_rows_in_a_file_outlive_the_cache(tmp_path: Path, memory_bytes: int) -> None:
    limits = CacheLimits(memory_bytes, tmp_path / "new folder" / "rows.db")
    async with open_cache(limits) as cache:
        cache.put(ROWS)
    async with open_cache(limits) as cache:
        assert await cache.filed([*KEYS, b"unknown"]) == ROWS
        assert cache.remembered(KEYS) == (ROWS if memory_bytes else {})


def reopened(path: Path, limit_bytes: int = 2**30) -> CacheFile:
    file = CacheFile(path, limit_bytes)
    file.open()
    return file


def fill(path: Path, rows: dict[bytes, bytes] = ROWS) -> None:
    file = reopened(path)
    file.write(rows)
    file.close()


def run(path: Path, statement: str) -> None:
    database = sqlite3.connect(path)
    database.execute(statement)
    database.commit()
    database.close()


def test_a_row_that_was_changed_is_not_given_out_and_can_be_written_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    fill(path)
    run(path, "UPDATE rows SET row = zeroblob(1536) WHERE rowid = 2")
    file = reopened(path)
    assert file.read(KEYS).keys() == {*KEYS} - {KEYS[1]}
    file.write({KEYS[1]: ROWS[KEYS[1]]})
    assert file.read(KEYS) == ROWS
    file.close()


def test_a_full_file_gives_up_its_oldest_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    file = reopened(path, limit_bytes=100_000)
    for key, row in ROWS.items():
        file.write({key: row})
    kept = file.read(KEYS)
    file.close()
    assert 30 < len(kept) < 80
    assert list(KEYS[-len(kept) :]) == [key for key in KEYS if key in kept]
    assert path.stat().st_size < 150_000


def foreign(path: Path) -> None:
    run(path, "CREATE TABLE invoices (total)")


def newer(path: Path) -> None:
    fill(path)
    run(path, "PRAGMA user_version = 99")


@pytest.mark.parametrize(
    "make",
    [lambda path: path.write_bytes(b"no database " * 1000), foreign, newer],
    ids=["garbage", "foreign", "newer"],
)
def test_a_file_of_another_kind_is_set_aside_whole_and_a_new_one_begun(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "rows.db"
    make(path)
    content = path.read_bytes()
    (tmp_path / "rows.db.set-aside-1").write_text("from an earlier time")
    file = reopened(path)
    file.write(ROWS)
    assert file.read(KEYS) == ROWS
    file.close()
    assert (tmp_path / "rows.db.set-aside-2").read_bytes() == content


def test_damage_that_shows_later_costs_only_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    fill(path)
    with path.open("r+b") as content:
        content.seek(4096)
        content.write(b"\xff" * (path.stat().st_size - 4096))
    file = reopened(path)
    assert file.read(KEYS) == {}
    file.write(ROWS)
    assert file.read(KEYS) == ROWS
    file.close()


def test_a_path_that_cannot_be_used_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    for path in (tmp_path, tmp_path / "taken" / "rows.db"):
        file = reopened(path)
        file.write(ROWS)
        assert file.read(KEYS) == {}
        file.close()


def test_a_file_that_cannot_be_replaced_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.db"
    path.write_bytes(b"no database " * 1000)

    def refuse(*_: object) -> None:
        raise PermissionError("read only")

    monkeypatch.setattr(Path, "rename", refuse)
    file = reopened(path)
    file.write(ROWS)
    assert file.read(KEYS) == {}
    file.close()


def test_rows_that_cannot_be_written_now_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "rows.db"
    file = reopened(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    file.write(ROWS)
    other.execute("ROLLBACK")
    other.close()
    assert file.read(KEYS) == {}
    file.write(ROWS)
    assert file.read(KEYS) == ROWS
    file.close()


async def test_rows_that_come_faster_than_they_can_be_written_are_left_out(tmp_path: Path) -> None:
    limits = CacheLimits(file=tmp_path / "rows.db")
    async with open_cache(limits) as cache:
        cache.put({KEYS[0]: bytes(2**24 + 1)})
        cache.put({KEYS[1]: ROWS[KEYS[1]]})
        assert len(cache) == 2
    async with open_cache(limits) as cache:
        assert (await cache.filed(KEYS[:2])).keys() == {KEYS[1]}
