"""A real service to measure: its own process, a free loopback port, a data folder that is thrown away.

The invariant: when the context ends, the service has ended, by its process id and no other way.
"""

import asyncio
import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 30.0
POLL_INTERVAL_S = 0.005
LOG_TAIL_BYTES = 4000
# At rest is what took less than this share of one core for so long.
RESTING = 0.05
REST_S = 1.0
REST_TIMEOUT_S = 1_200.0
MODEL = "all-MiniLM-L6-v2"


class ServiceFailed(Exception):
    """The service ended or did not become ready; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Service:
    """A ready service; the two times count from just before its process was started."""

    url: str
    port: int
    alive_after_s: float
    ready_after_s: float
    process: asyncio.subprocess.Process

    @property
    def pid(self) -> int:
        """Of the service itself."""
        return self.process.pid

    def signal(self, number: int) -> None:
        """To the service alone."""
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Its exit code, once it has one."""
        return await self.process.wait()

    def memory(self) -> dict[str, dict[str, int]]:
        """Resident bytes, now and at their peak, of the service and of each kind of process it started."""
        sizes: dict[str, dict[str, int]] = {}
        for pid in family(self.pid):
            with suppress(FileNotFoundError):
                total = sizes.setdefault(role(pid, self.pid), {"now": 0, "peak": 0})
                for when, size in resident_bytes(pid).items():
                    total[when] += size
        return sizes

    def processes(self, kind: str) -> list[int]:
        """The process ids of what it started of that kind (``embedd.worker``)."""
        return [pid for pid in family(self.pid) if role(pid, self.pid) == kind]


@asynccontextmanager
async def open_service(
    *, model: str = MODEL, settings: Mapping[str, str] | None = None, cores: Sequence[int] = ()
) -> AsyncIterator[Service]:
    """Starts ``embedd serve`` and waits until it is ready.

    ``settings`` by their names; kept to ``cores`` where there are any, and so are the workers it starts.

    Raises:
        ServiceFailed: it ended early, or was not ready within ``START_TIMEOUT_S``.
    """
    with tempfile.TemporaryDirectory(prefix="embedd-bench-") as folder:
        port = free_port()
        command = [sys.executable, "-m", "api", "serve", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--data", str(Path(folder) / "data"), "--model", model]
        chosen = {"grpc_port": "0"} | dict(settings or {})  # several may run at once
        named = {f"EMBEDD_{name.upper()}": value for name, value in chosen.items()}
        environment = clean_environment() | named
        probes = ("/healthz", "/readyz")
        async with open_server(
            command, port, probes, log=Path(folder) / "log", environment=environment, cores=cores
        ) as service:
            yield service


@asynccontextmanager
async def open_server(
    command: Sequence[str],
    port: int,
    probes: tuple[str, str] | None,
    *,
    log: Path,
    environment: Mapping[str, str],
    cores: Sequence[int] = (),
    folder: Path | None = None,
) -> AsyncIterator[Service]:
    """Runs any server that listens on ``port``, alive and ready when the two ``probes`` answer 200; one that
    speaks no HTTP has none, and is both when it takes a connection.

    Raises:
        ServiceFailed: it ended early, or was not ready within ``START_TIMEOUT_S``.
    """
    kept = ["taskset", "--cpu-list", ",".join(map(str, cores))] if cores else []
    started = time.perf_counter()
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            *kept, *command, stdout=sink, stderr=sink, env=environment, cwd=folder
        )
    try:
        url = f"http://127.0.0.1:{port}"
        if probes is None:
            alive = ready = await wait_for_port(process, port, started, log)
        else:
            alive, ready = [await wait_for(process, f"{url}{probe}", started, log) for probe in probes]
        yield Service(url, port, alive, ready, process)
    finally:
        await stop(process)


def move(pid: int, cores: Sequence[int]) -> None:
    """Keeps all threads of a running process to ``cores``, and those that they will start."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), cores)


def clean_environment() -> dict[str, str]:
    """The caller's environment without settings of a service, which would change what is measured."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EMBEDD_")}
    return kept | {"EMBEDD_GRPC_PORT": "0"}


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def wait_for(process: asyncio.subprocess.Process, url: str, started: float, log: Path) -> float:
    """Seconds since ``started`` at which ``url`` first answered 200."""
    async with aiohttp.ClientSession() as session:
        while time.perf_counter() - started < START_TIMEOUT_S and process.returncode is None:
            with suppress(aiohttp.ClientError):
                async with session.get(url) as response:
                    if response.status == 200:
                        return time.perf_counter() - started
            await asyncio.sleep(POLL_INTERVAL_S)
    raise ServiceFailed(
        f"no answer from {url} (exit status {process.returncode}); its log ends:\n{end_of(log)}"
    )


async def wait_for_port(process: asyncio.subprocess.Process, port: int, started: float, log: Path) -> float:
    """Seconds since ``started`` at which somebody first listened on ``port``."""
    while time.perf_counter() - started < START_TIMEOUT_S and process.returncode is None:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return time.perf_counter() - started
        await asyncio.sleep(POLL_INTERVAL_S)
    raise ServiceFailed(
        f"nobody listens on port {port} (exit status {process.returncode}); its log ends:\n{end_of(log)}"
    )


def end_of(log: Path) -> str:
    """The last lines of a log."""
    return log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")


async def stop(process: asyncio.subprocess.Process) -> None:
    """Asks the process to end, and ends it if it does not."""
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()


def family(pid: int) -> list[int]:
    """``pid`` and its living descendants, parents first."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            parent = re.search(r"^PPid:\t(\d+)$", status.read_text(), re.MULTILINE)
            if parent:
                children.setdefault(int(parent.group(1)), []).append(int(status.parent.name))
    found = [pid]
    for member in found:
        found.extend(children.get(member, ()))
    return found


def role(pid: int, service: int) -> str:
    """``service``, or the module that a process it started runs (``embedd.worker``)."""
    if pid == service:
        return "service"
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return words[words.index("-m") + 1] if "-m" in words else words[0]


async def until_at_rest(pid: int) -> float:
    """Seconds until a process and those it started have stopped working: its servers index in the background.

    Raises:
        TimeoutError: it is still at work after ``REST_TIMEOUT_S``.
    """
    began = last = time.perf_counter()
    async with asyncio.timeout(REST_TIMEOUT_S):
        while True:
            before = processor_s(pid)
            await asyncio.sleep(REST_S)
            if processor_s(pid) - before < RESTING * REST_S:
                return last - began
            last = time.perf_counter()


def processor_s(pid: int) -> float:
    """Processor time that a process and its living descendants have taken."""
    ticks = 0
    for member in family(pid):
        with suppress(FileNotFoundError):
            # Behind the name, which may hold anything, the 12th and 13th field: user and system time.
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> dict[str, int]:
    """Resident memory of one process: now, and the most it has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", status, re.MULTILINE))
    return {"now": int(fields["VmRSS"]) * 1024, "peak": int(fields["VmHWM"]) * 1024}
