"""``embedd demo`` and ``embedd serve``: a real service as a child, and what happens when it cannot start."""

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import httpx
import pytest
from cli_stub import Stub
from click.testing import CliRunner

from api.cli.client import Client
from api.cli.demo import project_documents
from api.cli.root import root
from api.cli.service_process import ServiceProcess, listening_port, url_of

GRACE_S = 20.0


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(autouse=True)
def _no_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several of these run at once, and there is one default port."""
    monkeypatch.setenv("EMBEDD_GRPC_PORT", "0")


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts ``embedd`` with these arguments; what a failed test leaves running is asked to stop."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str | Path) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "api", *map(str, arguments)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield run
    for process in started:
        process.terminate()
        process.communicate(timeout=30)


def read_until(process: "subprocess.Popen[str]", text: str) -> str:
    """The first line of standard output that has ``text`` in it."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"ended without saying {text!r}")


def test_the_demo_answers_a_question_about_the_project_and_ends(start: Start, tmp_path: Path) -> None:
    demo = start(
        "demo", "--once", "--model", "fake", "--generator", "fake", "--port", "0", "--data", tmp_path
    )
    out, err = demo.communicate(timeout=50)
    assert demo.returncode == 0, err
    assert "passages in collection 'embedd-docs'" in out
    answer = out.split("\n> What happens to my data when the process is killed?\n")[1]
    assert answer.startswith("fake: What happens")
    assert "Sources\n [1] " in answer


def test_the_demo_serves_until_it_is_asked_to_stop(start: Start, tmp_path: Path) -> None:
    demo = start("demo", "--model", "fake", "--port", "0", "--data", tmp_path)
    url = read_until(demo, "Serving at ").split()[2]
    assert httpx.get(f"{url}/readyz", trust_env=False).json()["ready"] is True
    assert f"--url {url}" in read_until(demo, " chat ")
    demo.send_signal(signal.SIGTERM)
    _, err = demo.communicate(timeout=30)
    assert demo.returncode == 0
    assert "Stopping the service." in err.splitlines()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/readyz", trust_env=False)


def test_the_demo_ends_with_the_reason_of_a_service_that_cannot_start(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    demo = start("demo", "--model", "fake", "--port", "0", "--data", tmp_path / "file")
    _, err = demo.communicate(timeout=30)
    assert demo.returncode == 1
    assert "Error: the service ended with exit code " in err


def test_the_demo_does_not_talk_to_another_service_on_its_port(taken_port: int) -> None:
    shown = CliRunner().invoke(root, ["demo", "--model", "fake", "--port", str(taken_port)])
    assert shown.exit_code == 1
    assert f"cannot listen on 127.0.0.1 port {taken_port} (Address already in use)" in shown.stderr


def test_the_demo_needs_a_model() -> None:
    shown = CliRunner().invoke(root, ["demo", "--model", "none"])
    assert shown.exit_code == 2
    assert "needs an embedding model" in shown.stderr


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_settings_that_cannot_be_used_are_wrong_usage(command: str) -> None:
    shown = CliRunner().invoke(root, [command, "--port", "many"])
    assert shown.exit_code == 2
    assert shown.stderr.startswith("Error: flag --port: ")


def test_the_documents_of_the_demo_have_paths_as_ids(tmp_path: Path) -> None:
    (tmp_path / "docs/adr").mkdir(parents=True)
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "docs/api.md",
        "docs/adr/0001.md",
        "docs/plot.png",
        "setup.md",
    ):
        (tmp_path / name).touch()
    assert [upload.id for upload in project_documents(tmp_path)] == [
        "README.md",
        "CONTRIBUTING.md",
        "docs/adr/0001.md",
        "docs/api.md",
    ]


def test_the_demo_needs_a_checkout_of_the_source(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="run it from a checkout of the source"):
        project_documents(tmp_path)


def test_waiting_tells_what_is_waited_for(stub: Stub, tmp_path: Path) -> None:
    stub.not_ready = ["the model is loading"]
    told: list[str] = []

    def hear(reason: str) -> None:
        told.append(reason)
        if reason in stub.not_ready:
            stub.not_ready = []

    service = ServiceProcess(
        ["--model", "none", "--port", "0", "--data", str(tmp_path), "--log-level", "error"]
    )
    try:
        with Client(stub.url) as client:
            service.wait_until_ready(client, hear)
    finally:
        service.end(GRACE_S)
    assert told == ["the service starts", "the model is loading"]


def test_a_child_that_a_signal_ended_has_the_exit_code_of_a_shell(tmp_path: Path) -> None:
    service = ServiceProcess(
        ["--model", "none", "--port", "0", "--data", str(tmp_path), "--log-level", "error"]
    )
    assert service.end(0.0) in (137, 143)


def test_any_free_port_is_found() -> None:
    assert 0 < listening_port("127.0.0.1", 0) < 65536


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:8080"),
        ("docs.local", "http://docs.local:8080"),
    ],
)
def test_a_client_reaches_a_service_that_listens_everywhere(host: str, url: str) -> None:
    assert url_of(host, 8080) == url


def test_nobody_waits_for_a_model_that_cannot_be_loaded(tmp_path: Path) -> None:
    port = listening_port("127.0.0.1", 0)
    flags = ["--model", "no-such-model", "--port", str(port), "--data", str(tmp_path), "--log-level", "error"]
    service = ServiceProcess(flags)
    try:
        with (
            Client(url_of("127.0.0.1", port)) as client,
            pytest.raises(click.ClickException, match="cannot be used: no model 'no-such-model'"),
        ):
            service.wait_until_ready(client, lambda _: None)
    finally:
        service.end(GRACE_S)
