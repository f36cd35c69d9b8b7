"""Servers of models over TLS, that ask for certificates: over gRPC and over HTTP; and keys."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from fake_models import until
from own_servers import OwnServer, open_front, open_own
from real_service import open_launcher

from api.app import open_services
from api.security.tls import TlsNotUsableError, remote_context
from api.settings import load_settings

KEY = "a-key-of-thirty-two-characters-x"


@dataclass(frozen=True)
class Files:
    ca: Path
    cert: Path
    key: Path
    client: Path
    client_key: Path

    def shown(self) -> dict[str, Any]:
        """The settings of who shows a certificate."""
        return {"remote_ca": self.ca, "remote_cert": self.client, "remote_key": self.client_key}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder, authority = tmp_path_factory.mktemp("tls"), trustme.CA()
    own, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("front@example.org")
    found = Files(
        *(folder / name for name in ("ca.pem", "cert.pem", "key.pem", "client.pem", "client-key.pem"))
    )
    authority.cert_pem.write_to_path(found.ca)
    for issued, cert, key in ((own, found.cert, found.key), (client, found.client, found.client_key)):
        issued.cert_chain_pems[0].write_to_path(cert)
        issued.private_key_pem.write_to_path(key)
    return found


@pytest.fixture(scope="module")
def closed(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    """A server that hears only who has a certificate and a key."""
    folder = tmp_path_factory.mktemp("closed")
    (folder / "admin.key").write_text(KEY)
    flags = ["--tls-cert", str(files.cert), "--tls-key", str(files.key), "--tls-client-ca", str(files.ca)]
    with open_launcher(folder) as launcher:
        yield open_own(launcher, *flags, "--admin-key-file", str(folder / "admin.key"), scheme="grpcs")


def over_http(closed: OwnServer) -> str:
    return f"fake@{closed.service.url}"


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_who_shows_a_certificate_and_a_key_is_served(
    closed: OwnServer, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    monkeypatch.setenv("EMBEDD_KEY_FAR", KEY)
    url = closed.url if protocol == "grpc" else over_http(closed)
    flags = {"model": f"far={url}", "port": 0, "data": tmp_path / "data", **files.shown()}
    async with open_front(load_settings(flags)) as services:
        assert (await services.models.embedder().embed(["x"])).vectors.shape == (1, 64)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("lacks", ["remote_ca", "remote_cert"])
async def test_who_does_not_is_not_heard_and_says_why(
    closed: OwnServer, files: Files, tmp_path: Path, protocol: str, lacks: str
) -> None:
    url = closed.url if protocol == "grpc" else over_http(closed)
    shown = files.shown() | {lacks: None} | ({"remote_key": None} if lacks == "remote_cert" else {})
    flags = {"model": f"far={url}", "port": 0, "data": tmp_path / "data", **shown}
    async with open_services(load_settings(flags)) as services:
        await until(lambda: "127.0.0.1" in str(services.readiness.reasons()))
        assert services.models.embedders.coming


async def test_without_its_key_nothing_is_served(closed: OwnServer, files: Files, tmp_path: Path) -> None:
    for url in (closed.url, over_http(closed)):
        flags = {"model": f"far={url}", "port": 0, "data": tmp_path / "data", **files.shown()}
        async with open_services(load_settings(flags)) as services:
            await until(lambda told=services: "does not accept" in str(told.readiness.reasons()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"remote_key": None}, "both remote_cert and remote_key"),
        ({"remote_cert": None}, "both remote_cert and remote_key"),
        ({"remote_ca": "missing.pem"}, "remote_ca .*missing.pem cannot be read: No such file"),
        ({"remote_ca": "garbled.pem"}, "remote_ca .*no PEM certificates"),
        ({"remote_cert": "garbled.pem"}, "remote_cert .*no PEM certificate with its own key"),
    ],
)
def test_files_that_cannot_be_used_are_named(files: Files, changes: dict[str, Any], message: str) -> None:
    folder = files.ca.parent
    (folder / "garbled.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nnonsense\n")
    given = {name: None if value is None else folder / value for name, value in changes.items()}
    with pytest.raises(TlsNotUsableError, match=message):
        remote_context(load_settings(files.shown() | given))


def test_without_such_settings_the_machine_decides() -> None:
    assert remote_context(load_settings({})) is None
