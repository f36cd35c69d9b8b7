"""Connections are encrypted where certificates are named; files that cannot be used are named, too."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import trustme
from commands import embedd
from real_service import Launcher, Service, open_launcher

from api.security.tls import TlsNotUsableError, tls_context
from api.settings import load_settings


@dataclass(frozen=True)
class Files:
    ca: Path
    cert: Path
    key: Path
    client: Path

    def flags(self) -> list[str]:
        return ["--tls-cert", str(self.cert), "--tls-key", str(self.key)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder, authority = tmp_path_factory.mktemp("tls"), trustme.CA()
    own, client = authority.issue_cert("127.0.0.1", "localhost"), authority.issue_cert("client@example.org")
    found = Files(*(folder / name for name in ("ca.pem", "cert.pem", "key.pem", "client.pem")))
    authority.cert_pem.write_to_path(found.ca)
    own.cert_chain_pems[0].write_to_path(found.cert)
    own.private_key_pem.write_to_path(found.key)
    client.private_key_and_cert_chain_pem.write_to_path(found.client)
    return found


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    with open_launcher(tmp_path_factory.mktemp("services")) as launcher:
        yield launcher


@pytest.fixture(scope="module")
def closed(launcher: Launcher, files: Files) -> Service:
    """A service over TLS that asks its clients for certificates."""
    service = launcher.launch(*files.flags(), "--tls-client-ca", str(files.ca), model="none")
    service.wait_until_started()
    return service


def test_the_commands_talk_over_tls(launcher: Launcher, files: Files) -> None:
    service = launcher.launch(*files.flags(), model="none")
    service.wait_until_started()
    assert service.url.startswith("https://")
    trusting = embedd("collections", "list", EMBEDD_URL=service.url, EMBEDD_CACERT=str(files.ca))
    assert trusting.exit_code == 0, trusting.stderr
    stranger = embedd("collections", "list", EMBEDD_URL=service.url)
    assert stranger.exit_code == 1
    assert "certificate" in stranger.stderr.lower()


def test_a_service_with_certificates_is_asked_whether_it_is_well(
    launcher: Launcher, files: Files, tmp_path: Path
) -> None:
    service = launcher.launch(*files.flags(), model="none")
    service.wait_until_started()
    asked = embedd("health", "--port", str(service.port), *files.flags())
    assert (asked.exit_code, asked.stdout) == (0, "alive\n"), asked.stderr
    other = trustme.CA().issue_cert("127.0.0.1")
    other.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    another = Files(files.ca, tmp_path / "cert.pem", files.key, files.client)
    refused = embedd("health", "--port", str(service.port), *another.flags())
    assert refused.exit_code == 1, "who answers there is somebody else"


def test_where_clients_need_a_certificate_so_does_the_question(closed: Service, files: Files) -> None:
    flags = [*files.flags(), "--tls-client-ca", str(files.ca), "--port", str(closed.port)]
    assert embedd("health", *flags).exit_code == 0, "the service's own is of the same authority"
    assert embedd("health", *flags, "--probe", "ready", "--cert", str(files.client)).exit_code == 0


def test_clients_without_a_certificate_are_not_heard(closed: Service, files: Files) -> None:
    trusted = ssl.create_default_context(cafile=str(files.ca))
    with (
        httpx.Client(verify=trusted, trust_env=False) as client,
        pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)),
    ):
        client.get(f"{closed.url}/healthz")
    trusted.load_cert_chain(files.client)
    with httpx.Client(verify=trusted, trust_env=False) as client:
        assert client.get(f"{closed.url}/healthz").status_code == 200


def test_certificates_of_another_authority_are_not_heard(
    closed: Service, files: Files, tmp_path: Path
) -> None:
    anothers = tmp_path / "client.pem"
    trustme.CA().issue_cert("client@example.org").private_key_and_cert_chain_pem.write_to_path(anothers)
    at = {"EMBEDD_URL": closed.url, "EMBEDD_CACERT": str(files.ca)}
    assert embedd("collections", "list", **at, EMBEDD_CERT=str(anothers)).exit_code == 1
    known = embedd("collections", "list", **at, EMBEDD_CERT=str(files.client))
    assert known.exit_code == 0, known.stderr


def test_without_certificates_nothing_is_encrypted() -> None:
    assert tls_context(load_settings({})) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tls_key": None}, "both tls_cert and tls_key"),
        ({"tls_cert": None}, "both tls_cert and tls_key"),
        ({"tls_cert": None, "tls_key": None, "tls_client_ca": "ca.pem"}, "both tls_cert and tls_key"),
        ({"tls_cert": "missing.pem"}, "tls_cert .*missing.pem cannot be read: No such file"),
        ({"tls_key": "missing.pem"}, "tls_key .*missing.pem cannot be read: No such file"),
        ({"tls_cert": "garbled.pem"}, "no PEM certificate with its own key"),
        ({"tls_key": "garbled.pem"}, "no PEM certificate with its own key"),
        ({"tls_key": "anothers.pem"}, "KEY_VALUES_MISMATCH"),
        ({"tls_client_ca": "garbled.pem"}, "tls_client_ca .*no PEM certificates"),
        ({"tls_client_ca": "missing.pem"}, "tls_client_ca .*cannot be read"),
    ],
)
def test_files_that_cannot_be_used_are_named(
    files: Files, changes: dict[str, str | None], message: str
) -> None:
    folder = files.ca.parent
    (folder / "garbled.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nnonsense\n")
    trustme.CA().issue_cert("x").private_key_pem.write_to_path(folder / "anothers.pem")
    fields: dict[str, object] = {"tls_cert": files.cert, "tls_key": files.key}
    fields |= {name: None if value is None else folder / value for name, value in changes.items()}
    with pytest.raises(TlsNotUsableError, match=message):
        tls_context(load_settings(fields))
