"""A service as a child process: started by exec, waited for until it is ready, ended by its owner.

The child gets a process group of its own, so that Ctrl-C reaches it once, through its owner, and not twice.
"""

import socket
import subprocess
import sys
from collections.abc import Callable, Sequence

import click

from api.cli.client import Client, ConnectionLostError
from api.schemas import Info

_POLL_S = 0.1
_READY_WITHIN_S = 600.0  # a model that is named by a hub's id is downloaded first


class ServiceProcess:
    """``embedd serve`` with ``flags``, running once this is made; `end` it."""

    def __init__(self, flags: Sequence[str]) -> None:
        # -P: a folder named api where the command is run must not be taken for this package.
        command = [sys.executable, "-P", "-m", "api", "serve", *flags]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)  # noqa: S603

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Its exit code as a shell shows it, or None if it still runs after ``timeout_s``."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        return code if code >= 0 else 128 - code

    def wait_until_ready(self, client: Client, told: Callable[[str], None]) -> None:
        """Return when everything is up; ``told`` hears what is waited for.

        Raises:
            click.ClickException: the child ended, its model will not load, or it is not ready in time.
        """
        reasons = "the service starts"
        for _ in range(int(_READY_WITHIN_S / _POLL_S)):
            told(reasons)
            code = self.wait(_POLL_S)
            if code is not None:
                raise click.ClickException(
                    f"the service ended with exit code {code}, see above for its reason"
                )
            try:
                readiness = client.readiness()
            except ConnectionLostError:
                continue
            if readiness.ready:
                return
            reasons = "; ".join(readiness.reasons) or reasons
            _refuse_failed(client.info())
        raise click.ClickException(f"not ready after {_READY_WITHIN_S:.0f} s, still waiting: {reasons}")

    def end(self, grace_s: float) -> int:
        """Ask the child to finish and insist after ``grace_s`` or a second Ctrl-C; its exit code."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            code = self.wait(grace_s)
        except KeyboardInterrupt:
            code = None
        if code is None:
            self._process.kill()
            code = self.wait()
        assert code is not None
        return code


def _refuse_failed(info: Info) -> None:
    """Waiting would not help."""
    for model in info.models:
        if model.name == info.default_model and model.status == "failed":
            raise click.ClickException(f"the model {model.name!r} cannot be used: {model.reason}")


def listening_port(host: str, port: int) -> int:
    """``port`` if it is free on ``host``, or any free one for 0.

    Asked before a service is started, because one that already listens there would answer in its place.

    Raises:
        click.ClickException: the port is taken or the host is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise click.ClickException(
                f"cannot listen on {host} port {port} ({error.strerror}): "
                "stop what listens there, or choose another with --port"
            ) from error
        free: int = probe.getsockname()[1]
    return free


def url_of(host: str, port: int) -> str:
    """Where a client on this machine finds a service that listens on ``host``."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing is bound here
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"
