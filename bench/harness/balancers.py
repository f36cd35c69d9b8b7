"""nginx and HAProxy in front of services on this machine, by the files in ``deploy``.

Of these files only what has to differ here is changed: addresses, and where things lie.
"""

import re
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.options import REPOSITORY
from harness.service import clean_environment, free_port, open_server

PACKAGES = {"nginx": "nginx", "haproxy": "haproxy"}
"""Each balancer, and the Debian package that has it."""
_FILES = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg"}
_HTTP, _GRPC = 8080, 50051
_NGINX_FOLDERS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True, slots=True)
class Ports:
    """Of a service, or of what stands in front of several."""

    http: int
    grpc: int


def missing() -> list[str]:
    """Packages that are not installed here."""
    return [package for program, package in PACKAGES.items() if shutil.which(program) is None]


def configuration(balancer: str, services: Sequence[Ports], front: Ports) -> str:
    """The file of ``deploy`` for these services, listening at ``front``."""
    text = (REPOSITORY / "deploy" / _FILES[balancer]).read_text("utf-8")
    return (_nginx if balancer == "nginx" else _haproxy)(text, services, front)


def _nginx(text: str, services: Sequence[Ports], front: Ports) -> str:
    for port in (_HTTP, _GRPC):
        lines = rf"(?:^ *server [\d.]+:{port} [^\n]*\n)+"
        text = re.sub(lines, "".join(_nginx_lines(text, port, services)), text, flags=re.MULTILINE)
    text = text.replace(f"listen {_HTTP};", f"listen 127.0.0.1:{front.http};")
    text = text.replace(f"listen {_GRPC} http2;", f"listen 127.0.0.1:{front.grpc} http2;")
    folders = "".join(f"    {name}_temp_path {name};\n" for name in _NGINX_FOLDERS)
    here = "daemon off;\npid nginx.pid;\nerror_log stderr;\n"
    return here + text.replace("http {\n", f"http {{\n{folders}", 1)


def _nginx_lines(text: str, port: int, services: Sequence[Ports]) -> list[str]:
    found = re.search(rf"^ *server [\d.]+:{port} (?P<options>[^\n]*)$", text, re.MULTILINE)
    assert found is not None, "the file names services"
    at = [one.http if port == _HTTP else one.grpc for one in services]
    return [f"        server 127.0.0.1:{one} {found['options']}\n" for one in at]


def _haproxy(text: str, services: Sequence[Ports], front: Ports) -> str:
    text = text.replace(f"bind :{_HTTP}", f"bind 127.0.0.1:{front.http}")
    text = text.replace(f"bind :{_GRPC}", f"bind 127.0.0.1:{front.grpc}")
    plain = "".join(f"    server s{place} 127.0.0.1:{one.http}\n" for place, one in enumerate(services))
    text = re.sub(rf"(?:^ *server \w+ [\d.]+:{_HTTP}\n)+", plain, text, flags=re.MULTILINE)
    found = re.search(rf"^ *server \w+ [\d.]+:{_GRPC} (?P<options>.*) port {_HTTP}$", text, re.MULTILINE)
    assert found is not None, "the file names services"
    calls = "".join(
        f"    server s{place} 127.0.0.1:{one.grpc} {found['options']} port {one.http}\n"
        for place, one in enumerate(services)
    )
    return re.sub(rf"(?:^ *server \w+ [\d.]+:{_GRPC} [^\n]*\n)+", calls, text, flags=re.MULTILINE)


@asynccontextmanager
async def open_balancer(balancer: str, services: Sequence[Ports], folder: Path) -> AsyncIterator[Ports]:
    """The balancer in front of ``services``; its files go into ``folder``."""
    front = Ports(free_port(), free_port())
    file = write_configuration(balancer, services, front, folder)
    if balancer == "nginx":
        command = ["nginx", "-p", str(folder), "-c", str(file), "-e", "stderr"]
    else:
        command = ["haproxy", "-db", "-f", str(file)]
    probes = ("/healthz", "/readyz")
    async with open_server(command, front.http, probes, log=folder / "log", environment=clean_environment()):
        yield front


def write_configuration(balancer: str, services: Sequence[Ports], front: Ports, folder: Path) -> Path:
    """The file that the balancer reads, in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / _FILES[balancer]
    file.write_text(configuration(balancer, services, front), encoding="utf-8")
    return file
