"""Writes constraints.txt: the newest versions of everything that the project installs, resolved by pip.

Run in the project's environment (``make lock``), on Linux and with the oldest Python that pyproject.toml
allows: what suits that one suits newer ones. Two resolutions are merged, so that one file pins both builds of
torch: the project with its development tools, and the plain torch wheel with the CUDA libraries it brings.
Nothing is installed; of CUDA wheels only the metadata is read, where the index serves it apart.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "constraints.txt"
# What hnswlib's source distribution and this project need to be built, and pip itself: in nobody's metadata.
BUILD_TOOLS = ("pip", "pybind11", "setuptools", "wheel")
HEADER = """\
# Every direct and transitive dependency, to run and to develop. Written by `make lock`, not by hand.
# The libraries of torch's CUDA build are pinned too; nothing installs them beside its CPU build.
"""


def resolve(*requirements: str) -> dict[str, str]:
    """Versions by normalised name, as pip would install ``requirements`` into an empty environment.

    Raises:
        subprocess.CalledProcessError: pip found no solution; it has said why.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        dry_run = ["install", "--quiet", "--dry-run", "--ignore-installed", "--report", str(report)]
        subprocess.run([sys.executable, "-m", "pip", *dry_run, *requirements], cwd=ROOT, check=True)
        return dict(pin(item["metadata"]) for item in json.loads(report.read_bytes())["install"])


def pin(metadata: dict[str, Any]) -> tuple[str, str]:
    """Name and public version; the local part (``+cpu``) tells builds apart and belongs in no pin."""
    name = re.sub(r"[-_.]+", "-", metadata["name"]).lower()
    return name, metadata["version"].partition("+")[0]


def main() -> None:
    """Resolves both builds, checks that they agree, and writes the file."""
    pins = resolve(".[dev]", *BUILD_TOOLS)
    pins.pop("embedd")
    cuda = resolve(
        f"torch==={pins['torch']}",
        *(f"{name}=={version}" for name, version in pins.items() if name != "torch"),
    )
    lines = [f"{name}=={version}\n" for name, version in sorted((pins | cuda).items())]
    TARGET.write_text(HEADER + "".join(lines), encoding="utf-8")
    print(f"{TARGET.name}: {len(lines)} pins")


if __name__ == "__main__":
    main()
