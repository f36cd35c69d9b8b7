"""Real ``embedd serve`` processes: started by exec on a free loopback port, ended by their own pid.

Knows the command line, the log's ``service_started`` event and ``/readyz``; nothing of what is tested.
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

# Bounds for a machine that does other things as well; what was measured is printed at the end of the run.
START_WITHIN_S = 30.0
STOP_WITHIN_S = 30.0
_POLL_S = 0.02
_LOG_TAIL_CHARACTERS = 4000


@dataclass(slots=True)
class Service:
    """A started service. ``pid`` is the service's own, also where a tracer stands between."""

    process: "subprocess.Popen[bytes]"
    data: Path
    log: Path
    started: float
    url: str = ""
    pid: int = 0

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's lines of this event, so far."""
        lines = self.log.read_text(errors="replace").splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [event for event in found if event.get("event.action") == name]

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, trust_env=False, timeout=30.0, **options)

    def wait_until_started(self) -> None:
        """Returns when it listens."""
        started = self._poll(lambda: self.events("service_started"), "started")[0]
        self.url, self.pid = started["url.full"], started["process.pid"]

    def wait_until_ready(self) -> float:
        """Seconds from the start of the process to the first 200 of ``/readyz``."""
        self.wait_until_started()
        with self.client() as client:
            self._poll(lambda: client.get("/readyz").status_code == 200, "ready")
        return time.perf_counter() - self.started

    def kill(self) -> int:
        """SIGKILL; its exit status, which is that signal unless it died of something else before."""
        self.signal(signal.SIGKILL)
        return self.wait()

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def signal(self, number: signal.Signals) -> None:
        if self.process.poll() is None:
            os.kill(self.pid or self.process.pid, number)

    def wait(self) -> int:
        return self.process.wait(STOP_WITHIN_S)

    def log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:]

    def _poll(self, condition: Any, what: str) -> Any:
        while time.perf_counter() - self.started < START_WITHIN_S and self.process.poll() is None:
            if found := condition():
                return found
            time.sleep(_POLL_S)
        status = self.process.poll()
        raise AssertionError(f"the service is not {what} (exit status {status}): {self.log_tail()}")


@dataclass(slots=True)
class Launcher:
    """Starts services and ends whatever still runs when its context is left."""

    folder: Path
    _started: list[Service] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def launch(
        self,
        *flags: str,
        data: Path | None = None,
        model: str = "fake",
        port: int = 0,
        before: Sequence[str] = (),
    ) -> Service:
        """Starts one and does not wait. ``before`` is a command that runs it, such as a tracer."""
        number = next(self._numbers)
        data = data or self.folder / f"data-{number}"
        log = self.folder / f"log-{number}"
        command = [*before, sys.executable, "-m", "api", "serve", "--data", str(data), "--model", model]
        command += ["--host", "127.0.0.1", "--port", str(port), "--log-format", "json"]
        command += ["--grpc-port", "0", *flags]  # many run at once; a test that wants gRPC names a port
        with log.open("wb") as sink:
            started = time.perf_counter()
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=environment()
            )
        service = Service(process, data, log, started)
        self._started.append(service)
        return service

    def start(self, *flags: str, **options: Any) -> Service:
        """Starts one and waits until it is ready."""
        service = self.launch(*flags, **options)
        service.wait_until_ready()
        return service

    def end(self) -> None:
        for service in self._started:
            service.signal(signal.SIGKILL)
            service.wait()


@contextmanager
def open_launcher(folder: Path) -> Iterator[Launcher]:
    launcher = Launcher(folder)
    try:
        yield launcher
    finally:
        launcher.end()


def environment() -> dict[str, str]:
    """This process's own, without settings of a service that the caller may have."""
    return {name: value for name, value in os.environ.items() if not name.startswith("EMBEDD_")}
