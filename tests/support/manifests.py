"""What `kubectl apply -k` would send for an overlay, rendered by kubectl itself."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
OVERLAYS = sorted(folder.name for folder in (DEPLOY / "kubernetes" / "overlays").iterdir())
WORKLOADS = {"StatefulSet", "Deployment", "DaemonSet"}

Manifest = dict[str, Any]

needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl, whose kustomize renders the overlays, is not installed"
)


@cache
def rendered(overlay: str) -> list[Manifest]:
    return render(DEPLOY / "kubernetes" / "overlays" / overlay)


def render(folder: Path) -> list[Manifest]:
    command = ["kubectl", "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(overlay: str, *kinds: str) -> list[Manifest]:
    return [one for one in rendered(overlay) if one["kind"] in kinds]


def named(overlay: str, kind: str, name: str) -> Manifest:
    (found,) = [one for one in of_kind(overlay, kind) if one["metadata"]["name"] == name]
    return found


def pods(overlay: str) -> dict[str, Manifest]:
    """The pod templates of embedd and the collector, by the name of what makes them."""
    return {one["metadata"]["name"]: one["spec"]["template"] for one in of_kind(overlay, *WORKLOADS)}


def selected(selector: Manifest, overlay: str) -> set[str]:
    """Whose pods ``selector`` (its ``matchLabels``) finds."""
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(overlay).items()}
    return {name for name, has in labels.items() if selector.items() <= has.items()}


def settings_of(overlay: str) -> dict[str, str]:
    """The map of settings that the pods of embedd read."""
    (found,) = [
        one["data"]
        for one in of_kind(overlay, "ConfigMap")
        if one["metadata"]["name"].startswith("embedd-settings")
    ]
    return dict(found)


def environment(overlay: str, workload: str) -> dict[str, str]:
    """What the pods of ``workload`` find in their environment, with "secret" for whatever is in a Secret."""
    (container,) = pods(overlay)[workload]["spec"]["containers"]
    maps = {one["metadata"]["name"]: one["data"] for one in of_kind(overlay, "ConfigMap")}
    found: dict[str, str] = {}
    for source in container["envFrom"]:
        if "configMapRef" in source:
            found |= maps[source["configMapRef"]["name"]]
    for one in container.get("env", []):
        value = "secret" if "valueFrom" in one else str(one["value"])
        found[one["name"]] = re.sub(r"\$\((\w+)\)", lambda named: found[named[1]], value)
    return found
