"""What kill -9 cannot show: every write is forced to disk between its request and its answer.

The service runs under strace, which writes down the system calls of all its threads in the order they
happen; each request carries an id that stands in what is read from its client and in what is written back.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from real_service import Launcher, Service

_SYNCS = ("fsync", "fdatasync")
_WRITES = ("pwrite64", "pwritev", "write")
_CALLS = ",".join((*_SYNCS, *_WRITES, "writev", "sendto", "sendmsg", "read", "readv", "recvfrom", "recvmsg"))
_LOG = "/collections/notes/truth.db-wal>"
_ENDED = re.compile(r"^(?P<thread>\d+) +<\.\.\. (?P<call>\w+) resumed>.* = (?P<result>-?\d+)")
_WHOLE = re.compile(r"^(?P<thread>\d+) +(?P<call>\w+)\((?P<arguments>.*) = (?P<result>-?\d+)[^\"]*$")
_BEGUN = re.compile(r"^(?P<thread>\d+) +(?P<call>\w+)\((?P<arguments>.*) <unfinished \.\.\.>$")


@dataclass(frozen=True, slots=True)
class SystemCall:
    """``begun`` and ``ended`` are places in the order of everything that was traced."""

    name: str
    arguments: str
    begun: int
    ended: int
    result: int


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything that happened, in order."""

    calls: Sequence[SystemCall]

    def between(self, request_id: str) -> list[SystemCall]:
        """The calls that ran after the request of that id was read and before its answer was written."""
        wanted = f"{request_id}\\r\\n"
        own = [call for call in self.calls if wanted in call.arguments]
        read = next(call for call in own if call.name.startswith(("read", "recv")))
        answer = next(call for call in own if call.name.startswith(("write", "send")))
        assert "HTTP/1.1 20" in answer.arguments
        return [call for call in self.calls if call.begun > read.ended and call.ended < answer.begun]


def parse_trace(lines: Sequence[str]) -> Trace:
    """The calls that ended; strace shows one that others ran beside in two lines."""
    begun: dict[str, tuple[int, str]] = {}
    calls = []
    for place, line in enumerate(lines):
        if (match := _BEGUN.match(line)) is not None:
            begun[match["thread"]] = (place, match["arguments"])
        elif (match := _ENDED.match(line)) is not None and match["thread"] in begun:
            start, arguments = begun.pop(match["thread"])
            # What a call reads is shown where it ends, what it writes where it begins.
            calls.append(SystemCall(match["call"], arguments + line, start, place, int(match["result"])))
        elif (match := _WHOLE.match(line)) is not None:
            calls.append(SystemCall(match["call"], match["arguments"], place, place, int(match["result"])))
    return Trace(calls)


def writes(calls: Sequence[SystemCall], path: str) -> list[SystemCall]:
    return [call for call in calls if call.name in _WRITES and path in call.arguments]


def syncs(calls: Sequence[SystemCall], path: str) -> list[SystemCall]:
    """The successful ones of files at ``path``."""
    return [call for call in calls if call.name in _SYNCS and path in call.arguments and call.result == 0]


@pytest.fixture
def trace_file(tmp_path: Path) -> Path:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    command = ["strace", "-o", tmp_path / "tried", "true"]
    tried = subprocess.run(command, check=False, capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"strace may not trace here: {tried.stderr.strip()}")
    return tmp_path / "trace"


@pytest.fixture
def traced(services: Launcher, trace_file: Path) -> Iterator[Service]:
    strace = ["strace", "-f", "--seccomp-bpf", "-yy", "-s", "700", "-e", f"trace={_CALLS}"]
    return services.start(before=[*strace, "-o", str(trace_file)])


def write(client: httpx.Client, request_id: str, path: str, body: object) -> str:
    """One request, acknowledged; its id."""
    headers = {"x-request-id": request_id}
    client.post(f"/v1/collections/notes{path}", json=body, headers=headers).raise_for_status()
    return request_id


def write_everything(client: httpx.Client) -> list[str]:
    """One write after the other, of every kind; their ids."""
    client.put("/v1/collections/notes", json={}).raise_for_status()
    written = []
    for n in range(8):
        document = {"id": f"d{n}", "text": f"Document {n} waits for the disk."}
        point = {"id": f"p{n}", "vector": [n + 1.0] * 64}
        many = [{"id": f"m{i}", "text": f"Document {i}, for the time {n}."} for i in range(40)]
        written += [
            write(client, f"document-{n}", "/documents?wait=true", {"documents": [document]}),
            write(client, f"documents-{n}", "/documents?wait=true", {"documents": many}),
            write(client, f"point-{n}", "/points", {"points": [point]}),
            write(client, f"point-deleted-{n}", "/points/delete", {"ids": [f"p{n}"]}),
            write(client, f"document-deleted-{n}", "/documents/delete", {"filter": {"document_id": f"d{n}"}}),
        ]
    return written


def read_trace(file: Path) -> Trace:
    return parse_trace(file.read_text(errors="replace").splitlines())


def test_every_write_is_on_disk_before_it_is_answered(traced: Service, trace_file: Path) -> None:
    with traced.client() as client:
        written = write_everything(client)
    assert traced.stop() == 0
    trace = read_trace(trace_file)
    assert len(written) == 40
    for request_id in written:
        calls = trace.between(request_id)
        logged, forced = writes(calls, _LOG), syncs(calls, _LOG)
        assert logged, f"{request_id} wrote nothing to the log"
        assert forced, f"{request_id} was answered without a sync"
        assert forced[-1].begun > logged[-1].ended, f"{request_id} wrote to the log after its last sync"


def test_a_job_and_its_uploads_are_on_disk_before_it_is_accepted(traced: Service, trace_file: Path) -> None:
    with traced.client() as client:
        client.put("/v1/collections/notes", json={}).raise_for_status()
        write(client, "texts", "/documents", {"documents": [{"id": "a", "text": "It waits."}]})
        files = {"file": ("b.txt", b"It waits as well.", "text/plain")}
        headers = {"x-request-id": "files"}
        client.post("/v1/collections/notes/documents", files=files, headers=headers).raise_for_status()
    assert traced.stop() == 0
    trace = read_trace(trace_file)
    for request_id in ("texts", "files"):
        calls = trace.between(request_id)
        # The job itself may begin, and write, before its acceptance is on its way.
        assert syncs(calls, _LOG)[0].begun > writes(calls, _LOG)[0].ended
    assert syncs(trace.between("files"), "/spool/"), "the content of the upload"
    assert syncs(trace.between("files"), "/uploads>"), "the name of the upload"
