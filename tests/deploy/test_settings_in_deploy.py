"""Every variable in deploy/ is a setting, with a value that it takes; image and compose file are sound."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from manifests import DEPLOY, OVERLAYS, needs_kubectl, settings_of
from promql import DASHBOARDS

from api.settings import Settings, load_settings

ROOT = DEPLOY.parent
SETTINGS = {f"EMBEDD_{name.upper()}" for name in Settings.model_fields}
FILES = [
    file for file in (*DEPLOY.rglob("*"), ROOT / "Dockerfile") if file.is_file() and file.suffix != ".pyc"
]
AN_UPSTREAMS_KEY = re.compile(r"EMBEDD_KEY_([A-Z0-9_]+)?")


def variables(file: Path) -> set[str]:
    return set(re.findall(r"EMBEDD_[A-Z0-9_]+", file.read_text("utf-8")))


@pytest.mark.parametrize(
    "file",
    [file for file in FILES if variables(file)],
    ids=lambda file: str(file.relative_to(ROOT)),
)
def test_every_variable_is_a_setting(file: Path) -> None:
    unknown = variables(file) - SETTINGS
    assert [name for name in unknown if not AN_UPSTREAMS_KEY.fullmatch(name)] == []


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_settings_of_an_overlay_can_be_used(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings_of(overlay)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = load_settings({})
    assert settings.log_format == "json", "what the collector reads"
    assert (settings.otlp_endpoint is not None) == ("EMBEDD_OTLP_ENDPOINT" in given)


def test_on_a_laptop_ports_are_on_loopback_and_what_is_mounted_is_there() -> None:
    file = DEPLOY / "compose.yaml"
    composed = yaml.safe_load(file.read_text("utf-8"))
    service = composed["services"]["embedd"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert float(service["stop_grace_period"].rstrip("s")) >= load_settings({}).drain_timeout_s + 15
    for one in composed["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in one["ports"])
        for source in (volume.split(":")[0] for volume in one.get("volumes", [])):
            assert source in composed["volumes"] or (file.parent / source).exists()


def test_on_a_laptop_the_first_key_is_a_file_that_is_no_part_of_the_project() -> None:
    composed = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    service = composed["services"]["embedd"]
    (secret,) = service["secrets"]
    assert service["environment"]["EMBEDD_ADMIN_KEY_FILE"] == f"/run/secrets/{secret}"
    file = composed["secrets"][secret]["file"]
    ignored = subprocess.run(["git", "check-ignore", "-q", DEPLOY / file], cwd=ROOT, check=False)
    assert ignored.returncode == 0


def test_grafana_finds_the_dashboard() -> None:
    (provider,) = yaml.safe_load(
        (DEPLOY / "grafana" / "provisioning" / "dashboards" / "embedd.yaml").read_text()
    )["providers"]
    mounted = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["grafana"]["volumes"]
    (dashboard,) = DASHBOARDS
    assert f"./grafana/{dashboard.name}:{provider['options']['path']}/{dashboard.name}:ro" in mounted


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_the_prometheus_of_the_laptop_is_configured_soundly() -> None:
    file = DEPLOY / "prometheus" / "prometheus.yaml"
    done = subprocess.run(["promtool", "check", "config", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dockerfile_pleases_its_linter() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
