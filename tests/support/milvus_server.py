"""A Milvus Lite on a free loopback port, ended by its own pid: it speaks Milvus's protocol over files."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_WITHIN_S = 60.0


class MilvusServer:
    """One that keeps its data in ``folder``; it can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns when it listens; one that runs goes on."""
        if self._process is not None and self._process.poll() is None:
            return
        program = Path(sys.executable).with_name("milvus-lite")
        place = ["--data-dir", str(self._folder / "data"), "--host", "127.0.0.1", "--port", str(self._port)]
        with (self._folder / "milvus.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "server", *place], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._wait()

    def kill(self) -> None:
        """As a loss of power would, but for the disk's own memory."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _wait(self) -> None:
        assert self._process is not None
        until = time.monotonic() + _WITHIN_S
        while time.monotonic() < until and self._process.poll() is None:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            time.sleep(0.02)
        log = (self._folder / "milvus.log").read_text(errors="replace")
        raise AssertionError(f"Milvus Lite does not answer: {log[-2000:]}")


@contextmanager
def milvus_server(folder: Path) -> Iterator[MilvusServer]:
    """A server that runs until this is left."""
    server = MilvusServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
