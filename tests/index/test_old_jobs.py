"""Jobs that ended long ago are forgotten, and those of older data folders are counted."""

import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from index import jobs, migrations
from index.codec import timestamp
from index.rows import Receipt

NOW = datetime.now(UTC)


@pytest.fixture
def connection() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    migrations.migrate(connection)
    return connection


def end(connection: sqlite3.Connection, job_id: str, ago: timedelta) -> None:
    jobs.settle(connection, [Receipt(job_id, 0, {})])
    connection.execute("UPDATE jobs SET finished_at = ? WHERE id = ?", (timestamp(NOW - ago), job_id))


def names(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT id FROM jobs ORDER BY number")]


def test_a_job_is_forgotten_a_week_after_its_end_with_all_its_items(connection: sqlite3.Connection) -> None:
    for name, days in (("old", 8), ("younger", 6), ("running", 0)):
        jobs.add(connection, name, [b"x"], [1])
        if days:
            end(connection, name, timedelta(days=days))
    jobs.add(connection, "new", [], [])
    assert names(connection) == ["younger", "running", "new"]
    assert connection.execute("SELECT count(*) FROM job_items WHERE job = 'old'").fetchone() == (0,)


def test_of_many_jobs_those_are_forgotten_first_that_a_thousand_came_after(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "KEPT_JOBS", 2)
    for name, hours in (("a", 30), ("b", 20), ("c", 30), ("d", 30)):
        jobs.add(connection, name, [b"x"], [1])
        end(connection, name, timedelta(hours=hours))
    jobs.add(connection, "e", [b"x"], [1])
    assert names(connection) == ["b", "d", "e"], "b ended less than a day ago"


def test_years_of_old_jobs_are_forgotten_little_by_little(connection: sqlite3.Connection) -> None:
    for number in range(30):
        jobs.add(connection, f"old{number}", [b"x"], [1])
    for number in range(30):
        end(connection, f"old{number}", timedelta(days=400))
    jobs.add(connection, "a", [], [])
    assert len(names(connection)) == 11
    jobs.add(connection, "b", [], [])
    assert names(connection) == ["a", "b"]


def test_a_number_is_not_given_again_to_the_job_behind_one_that_runs(connection: sqlite3.Connection) -> None:
    jobs.add(connection, "a", [b"x"], [1])
    jobs.add(connection, "b", [b"x"], [1])
    assert [row[0] for row in connection.execute("SELECT number FROM jobs ORDER BY number")] == [1, 2]


def test_jobs_of_an_older_data_folder_are_counted_once() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    before = migrations.MIGRATIONS.index(migrations._count_jobs)
    migrations.migrate(connection, migrations.MIGRATIONS[:before])
    connection.execute("INSERT INTO jobs VALUES ('a.1', 1, 3, 'now', 'now', NULL)")
    connection.executemany(
        "INSERT INTO job_items VALUES ('a.1', ?, NULL, ?, ?)", [(0, "{}", 0), (1, "{}", 1), (2, None, 0)]
    )
    migrations.migrate(connection)
    assert connection.execute("SELECT done, failed, cancelled FROM jobs").fetchall() == [(2, 1, 0)]
    jobs.settle(connection, [Receipt("a.1", 2, {}, passages=5)])
    done = connection.execute("SELECT done, passages, finished_at IS NOT NULL FROM jobs").fetchone()
    assert done == (3, 5, 1)
