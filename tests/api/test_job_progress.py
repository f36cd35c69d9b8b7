"""How fast a job goes, and when it will be done."""

import pytest

from api.services.job_progress import Paces, Standing, ended


@pytest.fixture
def clock() -> list[float]:
    return [100.0]


@pytest.fixture
def paces(clock: list[float]) -> Paces:
    return Paces(lambda: clock[0])


def test_the_time_left_follows_from_the_bytes_since_the_job_was_taken_up(
    paces: Paces, clock: list[float]
) -> None:
    paces.take_up("job", Standing(10, 100, done_bytes=5000, size_bytes=20_000))
    clock[0] += 4
    progress = paces.progress("job", Standing(30, 100, done_bytes=10_000, size_bytes=20_000))
    assert (progress.rate, progress.seconds_left) == (5.0, 8.0)


def test_without_bytes_it_follows_from_the_documents(paces: Paces, clock: list[float]) -> None:
    paces.take_up("job", Standing(0, 100))
    clock[0] += 10
    progress = paces.progress("job", Standing(20, 100))
    assert (progress.rate, progress.seconds_left) == (2.0, 40.0)


def test_nothing_is_told_of_what_has_not_moved(paces: Paces, clock: list[float]) -> None:
    paces.take_up("job", Standing(5, 10, done_bytes=50, size_bytes=100))
    clock[0] += 10
    progress = paces.progress("job", Standing(5, 10, done_bytes=50, size_bytes=100))
    assert (progress.rate, progress.seconds_left) == (0.0, None)
    assert paces.progress("unknown", Standing(5, 10)).seconds_left is None


def test_a_job_is_taken_up_once_until_it_is_let_go(paces: Paces, clock: list[float]) -> None:
    paces.take_up("job", Standing(0, 10))
    clock[0] += 1
    paces.take_up("job", Standing(5, 10))
    assert paces.progress("job", Standing(5, 10)).rate == 5.0
    paces.let_go("job")
    assert paces.progress("job", Standing(5, 10)).rate == 0.0


def test_a_job_that_has_ended_has_nothing_left_and_a_rate_over_all_its_time() -> None:
    progress = ended(Standing(10, 10), "2026-11-29T10:00:00.000Z", "2026-11-29T10:00:04.000Z")
    assert (progress.rate, progress.seconds_left) == (2.5, 0.0)
