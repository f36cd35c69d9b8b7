"""Who lives under a process, read from /proc; for tests that have to show that nobody is left behind."""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

GONE_WITHIN_S = 15.0


@dataclass(frozen=True, slots=True)
class Process:
    """``started`` tells it from a later process with the same ``pid``."""

    pid: int
    started: str
    command: str

    @property
    def lives(self) -> bool:
        """A process that only waits for its parent to ask after it is dead."""
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = _stat(self.pid)
            return fields[19] == self.started and fields[0] != "Z"
        return False


def children_of(pid: int) -> list[Process]:
    """The living children, in the order of their pids."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = _stat(int(folder.name))
            if int(fields[1]) == pid and fields[0] != "Z":
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found.append(Process(int(folder.name), fields[19], command))
    return sorted(found, key=lambda process: process.pid)


def wait_until_gone(processes: list[Process]) -> None:
    deadline = time.monotonic() + GONE_WITHIN_S
    while left := [process for process in processes if process.lives]:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.02)


def _stat(pid: int) -> list[str]:
    """The fields of proc(5)'s stat from the third on: state, parent, ..., start time at place 19."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
