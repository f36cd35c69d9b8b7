"""A real service for the tests of what is deployed around it."""

from collections.abc import Iterator

import pytest
from real_service import Launcher, Service, open_launcher


@pytest.fixture(scope="session")
def busy_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One that has embedded, searched and answered, so that every series has a value."""
    with open_launcher(tmp_path_factory.mktemp("deployed")) as launcher:
        service = _start(launcher)
        with service.client() as client:
            client.put("/v1/collections/docs", json={}).raise_for_status()
            documents = {"documents": [{"id": "tide", "text": "Spring tides come at new moon."}]}
            client.post("/v1/collections/docs/documents?wait=true", json=documents).raise_for_status()
            client.post("/v1/collections/docs/search", json={"query": "tide"}).raise_for_status()
            chat = {"messages": [{"role": "user", "content": "When?"}], "max_tokens": 8}
            client.post("/v1/chat/completions", json=chat).raise_for_status()
        yield service


def _start(launcher: Launcher) -> Service:
    service = launcher.start("--generator", "fake-llm")
    with service.client() as client:
        client.get("/v1/info").raise_for_status()
    return service
