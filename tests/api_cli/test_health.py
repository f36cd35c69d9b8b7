"""``embedd health``: what it asks of the service of this machine, and how it ends."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from commands import embedd
from ports import free_port


class Answering(BaseHTTPRequestHandler):
    """A service that is alive and not ready."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(503 if self.path == "/readyz" else 200)
        self.end_headers()
        self.wfile.write(b'{"ready": false}')

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def port() -> Iterator[int]:
    Answering.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_service_that_is_alive_is_so_wherever_it_listens(port: int, host: str) -> None:
    shown = embedd("health", EMBEDD_HOST=host, EMBEDD_PORT=str(port))
    assert (shown.exit_code, shown.stdout) == (0, "alive\n")
    assert Answering.asked == ["/healthz"]


def test_what_is_not_ready_is_said_with_what_the_service_says(port: int) -> None:
    shown = embedd("health", "--probe", "ready", EMBEDD_PORT=str(port))
    assert shown.exit_code == 1
    assert 'not ready (503): {"ready": false}' in shown.stderr


def test_where_nobody_answers_it_ends_with_1() -> None:
    shown = embedd("health", EMBEDD_PORT=str(free_port()))
    assert shown.exit_code == 1
    assert "no answer from 127.0.0.1 port" in shown.stderr
