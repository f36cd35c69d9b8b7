"""Installs the pinned torch in the build that suits this machine, and says which and why.

On Linux the plain wheel of torch brings gigabytes of CUDA libraries along. They are taken only where an
NVIDIA driver is there to use them, or where they were asked for. Otherwise the CPU build is taken: from pip's
own configuration if that offers one, else from the index that torch's vendor keeps for it.

Runs before anything is installed, so it needs the standard library alone. Its invariant: a CPU build is
always asked for by its exact version ``<version>+cpu``, which no CUDA wheel can satisfy, whatever the index.
"""

import argparse
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

DRIVER_MARK = Path("/proc/driver/nvidia/version")
QUERY_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Machine:
    """What the choice depends on: ``system`` as ``platform.system()`` names it."""

    system: str
    has_nvidia_driver: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """What to ask pip for, from which index (None: the ones pip is configured with), and why."""

    requirement: str
    index: str | None
    reason: str

    @property
    def pip_arguments(self) -> list[str]:
        """Arguments of ``pip install``; torch's dependencies are left to the pinned install after it."""
        index = [] if self.index is None else ["--index-url", self.index]
        return ["--no-deps", *index, self.requirement]


def choose(
    variant: str,
    version: str,
    cpu_index: str,
    machine: Machine,
    offers: Callable[[str], bool],
) -> Choice:
    """The build of torch for ``machine``; ``variant`` is ``auto``, ``cpu`` or ``cuda``.

    ``offers`` tells whether pip, configured as it is, can install a requirement; asked only where it matters.
    """
    plain, cpu = f"torch=={version}", f"torch=={version}+cpu"
    if machine.system != "Linux":
        return Choice(plain, None, f"the build for {machine.system} carries no CUDA")
    if variant == "cuda":
        return Choice(plain, None, "the CUDA build was asked for")
    if variant == "auto" and machine.has_nvidia_driver:
        return Choice(plain, None, "an NVIDIA driver is present")
    why = "the CPU build was asked for" if variant == "cpu" else "no NVIDIA driver is present"
    if offers(cpu):
        return Choice(cpu, None, f"{why}, and pip's own configuration offers a CPU build")
    return Choice(cpu, cpu_index, f"{why}; the CPU build comes from its vendor's index, {cpu_index}")


def pinned_version(constraints: str) -> str:
    """The version that the text of a constraints file pins torch to.

    Raises:
        ValueError: no line pins torch.
    """
    pin = re.search(r"^torch==([^\s;+]+)\s*$", constraints, re.MULTILINE)
    if pin is None:
        raise ValueError("the constraints file has no line 'torch==<version>'")
    return pin.group(1)


def nvidia_driver_present(mark: Path = DRIVER_MARK, smi: str = "nvidia-smi") -> bool:
    """Whether the kernel has loaded the driver, or (WSL has no such mark) the driver's tool lists a GPU."""
    if mark.exists():
        return True
    path = shutil.which(smi)
    if path is None:
        return False
    try:
        listed = subprocess.run(
            [path, "-L"], capture_output=True, text=True, timeout=QUERY_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.returncode == 0 and "GPU" in listed.stdout


def pip(*arguments: str, quiet: bool = False) -> int:
    """Runs pip of this interpreter's environment; its exit status."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", *arguments]
    sink = subprocess.DEVNULL if quiet else None
    return subprocess.run(command, stdout=sink, stderr=sink, check=False).returncode


def pip_offers(requirement: str) -> bool:
    """Whether pip finds ``requirement`` where it is configured to look; nothing is installed."""
    return pip("--dry-run", "--ignore-installed", "--no-deps", requirement, quiet=True) == 0


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(description="Install the build of torch that suits this machine.")
    parser.add_argument("--variant", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--constraints", type=Path, required=True, help="the file that pins torch")
    parser.add_argument(
        "--cpu-index", required=True, help="index of CPU builds, used when pip's own has none"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Chooses, says so, installs; pip's exit status."""
    options = parse_arguments(arguments)
    version = pinned_version(options.constraints.read_text(encoding="utf-8"))
    machine = Machine(platform.system(), nvidia_driver_present())
    choice = choose(options.variant, version, options.cpu_index, machine, pip_offers)
    print(f"torch: {choice.requirement.removeprefix('torch==')} ({choice.reason})", flush=True)
    status = pip(*choice.pip_arguments)
    if status:
        print(
            f"torch: pip could not install {choice.requirement}. Point pip's configuration at an index"
            " that has it, or name one: make setup TORCH_CPU_INDEX=<url>",
            file=sys.stderr,
        )
    return status


if __name__ == "__main__":
    sys.exit(main())
