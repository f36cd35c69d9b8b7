"""Two services, as processes of their own, over one PostgreSQL; a load balancer could send each request to
either.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from postgres_server import PostgresServer
from real_service import open_launcher
from replica_pair import ADMIN_KEY, Replica, Replicas


@pytest.fixture(scope="session")
def start(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Replica]]:
    """Starts one more replica, which lives until the end unless it is ended before."""
    folder: Path = tmp_path_factory.mktemp("replicas")
    (folder / "admin").write_text(ADMIN_KEY)
    catalog = f"{postgres.url}?schema=replicas"
    flags = ["--catalog", catalog, "--admin-key-file", str(folder / "admin"), "--generator", "fake"]
    with open_launcher(folder) as launcher, closing(Replicas(launcher, flags)) as replicas:
        yield replicas.start


@pytest.fixture(scope="session")
def replicas(start: Callable[[], Replica]) -> tuple[Replica, Replica]:
    return start(), start()


@pytest.fixture
def one(replicas: tuple[Replica, Replica]) -> Replica:
    return replicas[0]


@pytest.fixture
def two(replicas: tuple[Replica, Replica]) -> Replica:
    return replicas[1]


@pytest.fixture
def docs(one: Replica, request: pytest.FixtureRequest) -> Iterator[str]:
    """The path of a collection of this test's own."""
    path = f"/v1/collections/{request.node.name.removeprefix('test_')[:60].replace('_', '-')}"
    one.ask("PUT", path, {}, status=201)
    yield path
    one.ask("DELETE", path)
