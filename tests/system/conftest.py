"""Services for the system tests, and the times they took, printed at the end of the run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from real_service import Launcher, Service, open_launcher

_TIMES = pytest.StashKey[dict[str, list[float]]]()


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Launcher]:
    """Starts services that end with the test."""
    with open_launcher(tmp_path) as launcher:
        yield launcher


@pytest.fixture(scope="module")
def shared_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """Starts services that end with the module."""
    with open_launcher(tmp_path_factory.mktemp("services")) as launcher:
        yield launcher


@pytest.fixture(scope="module")
def service(shared_services: Launcher) -> Service:
    """One service over the fake model for the whole module."""
    return shared_services.start()


@pytest.fixture(scope="session")
def times(request: pytest.FixtureRequest) -> dict[str, list[float]]:
    """Seconds by what took them; the longest of each is printed, never asserted."""
    return request.config.stash.setdefault(_TIMES, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for what, seconds in terminalreporter.config.stash.get(_TIMES, {}).items():
        terminalreporter.write_line(f"{what}: {max(seconds):.2f} s at worst, of {len(seconds)}")
