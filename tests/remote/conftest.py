"""Services of our own that have models for others: real processes, started once."""

from collections.abc import Iterator

import pytest
from own_servers import OwnServer, open_own
from real_service import open_launcher


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    """One that nobody may kill."""
    with open_launcher(tmp_path_factory.mktemp("own")) as launcher:
        yield open_own(launcher)
