"""SIGHUP: what the settings say now holds at once where it can, all of it or nothing."""

import os
import pty
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import trustme
import yaml
from ports import free_port
from real_service import Launcher, Service, environment, open_launcher

from api.grpc.v1.inferencer_pb2 import ListModelsRequest
from api.grpc.v1.inferencer_pb2_grpc import InferencerStub
from api.live_settings import RELOADABLE, change_of
from api.settings import Settings, load_settings

OLD, NEW = "old-" * 10, "new-" * 10
PAGE = "https://chat.example.org"


@dataclass
class Reloading:
    """A service, the folder of its files, and what its settings file says."""

    service: Service
    folder: Path
    said: dict[str, Any]

    def reload(self, **said: Any) -> dict[str, Any]:
        """Say this from now on, and have it read: what the log tells of it."""
        self.said |= said
        (self.folder / "embedd.yaml").write_text(yaml.safe_dump(self.said))
        return self.hang_up()

    def hang_up(self) -> dict[str, Any]:
        before = len(self.told())
        self.service.signal(signal.SIGHUP)
        until(lambda: len(self.told()) > before)
        return self.told()[-1]

    def told(self) -> list[dict[str, Any]]:
        found = [*self.service.events("settings_reloaded"), *self.service.events("settings_not_reloaded")]
        return sorted(found, key=lambda event: str(event["@timestamp"]))

    def get(self, path: str, key: str = OLD, **headers: str) -> httpx.Response:
        with self.service.client(headers={"Authorization": f"Bearer {key}"} | headers) as client:
            return client.get(path)


def until(condition: Callable[[], object]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen")


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    with open_launcher(tmp_path_factory.mktemp("services")) as launcher:
        yield launcher


@pytest.fixture(scope="module")
def shared(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Reloading:
    folder = tmp_path_factory.mktemp("reloading")
    (folder / "admin").write_text(OLD)
    said = {"admin_key_file": str(folder / "admin")}
    (folder / "embedd.yaml").write_text(yaml.safe_dump(said))
    service = launcher.launch("--config", str(folder / "embedd.yaml"), model="none")
    service.wait_until_started()
    return Reloading(service, folder, said)


@pytest.fixture
def reloading(shared: Reloading) -> Reloading:
    """The service as it was started, whatever was said since."""
    (shared.folder / "admin").write_text(OLD)
    shared.said = {"admin_key_file": str(shared.folder / "admin")}
    shared.reload()
    return shared


def test_what_can_change_does_and_the_rest_is_named(reloading: Reloading) -> None:
    told = reloading.reload(
        allowed_origins=[PAGE], metrics_without_key=True, max_json_bytes="1MiB", cache_bytes=0
    )
    assert told["embedd.changed"] == ["allowed_origins", "metrics_without_key"]
    *_, kept = reloading.service.events("settings_need_restart")
    assert kept["embedd.settings"] == ["cache_bytes", "max_json_bytes"]
    answer = reloading.get("/v1/info", Origin=PAGE)
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert answer.json()["limits"]["max_json_bytes"] == 32 * 2**20
    assert reloading.get("/metrics", key="nobody's").status_code == 200


def test_a_key_in_a_file_is_another_from_then_on(reloading: Reloading) -> None:
    (reloading.folder / "admin").write_text(NEW)
    assert reloading.get("/v1/info").status_code == 200
    assert reloading.hang_up()["event.action"] == "settings_reloaded"
    assert reloading.get("/v1/info").status_code == 401
    assert reloading.get("/v1/info", key=NEW).status_code == 200


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"log_level": "loud"}, "log_level"),
        ({"log_leven": "info"}, "did you mean 'log_level'?"),
        ({"admin_key_file": "/nowhere/admin"}, "/nowhere/admin"),
    ],
)
def test_what_cannot_be_used_changes_nothing(reloading: Reloading, said: dict[str, Any], reason: str) -> None:
    told = reloading.reload(allowed_origins=[PAGE], **said)
    assert reason in told["event.reason"]
    assert reloading.get("/v1/info", Origin=PAGE).status_code == 403, "that page was not allowed before"
    assert reloading.get("/v1/info").status_code == 200


def test_the_level_of_the_log_is_another(reloading: Reloading) -> None:
    reloading.reload(log_level="debug")
    reloading.get("/healthz")
    until(lambda: any(one["url.path"] == "/healthz" for one in reloading.service.events("request_answered")))


@dataclass(frozen=True)
class Certified:
    """An authority, and the certificate of a service that it has issued into files."""

    authority: trustme.CA
    cert: Path
    key: Path

    @classmethod
    def into(cls, cert: Path, key: Path) -> "Certified":
        authority = trustme.CA()
        own = authority.issue_cert("127.0.0.1")
        own.cert_chain_pems[0].write_to_path(cert)
        own.private_key_pem.write_to_path(key)
        return cls(authority, cert, key)

    @property
    def pem(self) -> bytes:
        return self.authority.cert_pem.bytes()

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.pem.decode())


def test_new_certificates_are_shown_to_new_connections_over_http_and_grpc(
    launcher: Launcher, tmp_path: Path
) -> None:
    cert, key, config = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "embedd.yaml"
    before = Certified.into(cert, key)
    said = {"tls_cert": str(cert), "tls_key": str(key)}
    config.write_text(yaml.safe_dump(said))
    service = launcher.launch("--config", str(config), "--grpc-port", str(free_port()), model="none")
    service.wait_until_started()
    reloading = Reloading(service, tmp_path, said)
    address = service.events("service_started")[0]["embedd.grpc"]
    with httpx.Client(base_url=service.url, verify=before.context(), trust_env=False) as kept:
        assert kept.get("/healthz").status_code == 200
        assert models_by_grpc(address, before) == []
        after = Certified.into(cert, key)
        reloading.hang_up()
        assert kept.get("/healthz").status_code == 200, "the connection that was there goes on"
    with httpx.Client(base_url=service.url, verify=after.context(), trust_env=False) as fresh:
        assert fresh.get("/healthz").status_code == 200
    with (
        httpx.Client(base_url=service.url, verify=before.context(), trust_env=False) as fresh,
        pytest.raises(httpx.ConnectError),
    ):
        fresh.get("/healthz")
    assert models_by_grpc(address, after) == []
    cert.write_text("nonsense")
    assert "tls_cert" in reloading.hang_up()["event.reason"]
    with httpx.Client(base_url=service.url, verify=after.context(), trust_env=False) as fresh:
        assert fresh.get("/healthz").status_code == 200
    assert service.stop() == 0


def models_by_grpc(address: str, trusting: Certified) -> list[Any]:
    """The embedding models of a service, over a connection of its own."""
    credentials = grpc.ssl_channel_credentials(trusting.pem)
    options = (("grpc.use_local_subchannel_pool", 1),)
    with grpc.secure_channel(address, credentials, options) as channel:
        answer = InferencerStub(channel).ListModels(ListModelsRequest(), timeout=20)
    return [one for one in answer.models if one.kind == "embedding"]


def test_a_service_whose_terminal_is_gone_ends(tmp_path: Path) -> None:
    ours, its = pty.openpty()
    log = tmp_path / "log"
    command = [sys.executable, "-m", "api", "serve", "--data", str(tmp_path / "data"), "--model", "none"]
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [*command, "--port", "0", "--grpc-port", "0", "--log-format", "json"],
            stdin=its,
            stdout=sink,
            stderr=sink,
            env=environment(),
        )
    os.close(its)
    service = Service(process, tmp_path / "data", log, time.perf_counter())
    try:
        service.wait_until_started()
        service.signal(signal.SIGHUP)
        until(lambda: service.events("settings_reloaded"))
        os.close(ours)
        service.signal(signal.SIGHUP)
        assert service.wait() == 0
    finally:
        service.kill()


def test_settings_are_new_or_kept_behind_or_the_same() -> None:
    now = load_settings({"model": "fake"})
    read = load_settings({"model": "fake", "port": 9000, "auth": "keys", "config": None})
    change = change_of(now, read)
    assert (change.new, change.behind) == (("auth",), ("port",))
    assert (change.settings.auth, change.settings.port) == ("keys", now.port)
    assert Settings.model_fields.keys() >= RELOADABLE


@pytest.mark.parametrize(
    ("was", "said", "new"),
    [
        ({}, {"tls_cert": "c", "tls_key": "k"}, ()),
        ({"tls_cert": "c", "tls_key": "k"}, {}, ()),
        ({"tls_cert": "c", "tls_key": "k"}, {"tls_cert": "d", "tls_key": "k"}, ("tls_cert",)),
        ({"tls_cert": "c", "tls_key": "k"}, {"tls_cert": "d", "tls_key": "k", "tls_client_ca": "a"}, ()),
    ],
)
def test_encryption_is_neither_turned_on_nor_off(
    was: dict[str, str], said: dict[str, str], new: tuple[str, ...]
) -> None:
    assert change_of(load_settings(was), load_settings(said)).new == new
