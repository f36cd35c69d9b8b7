"""Which build of torch is chosen, without asking pip or a GPU."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from deploy_scripts import load_script

ROOT = Path(__file__).resolve().parents[2]
INDEX = "https://vendor.example/cpu"


install_torch = load_script("install_torch")


def choose(
    *, variant: str = "auto", system: str = "Linux", driver: bool = False, offered: bool = False
) -> Any:
    machine = install_torch.Machine(system=system, has_nvidia_driver=driver)
    return install_torch.choose(variant, "2.13.0", INDEX, machine, lambda _: offered)


def executable(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_a_machine_with_a_driver_gets_the_plain_wheel() -> None:
    choice = choose(driver=True)
    assert choice.pip_arguments == ["--no-deps", "torch==2.13.0"]
    assert "an NVIDIA driver is present" in choice.reason


def test_without_a_driver_a_cpu_build_that_pip_offers_is_taken_from_there() -> None:
    choice = choose(offered=True)
    assert choice.pip_arguments == ["--no-deps", "torch==2.13.0+cpu"]
    assert "no NVIDIA driver" in choice.reason


def test_without_a_driver_and_without_an_offer_the_cpu_build_comes_from_its_vendor() -> None:
    choice = choose()
    assert choice.pip_arguments == ["--no-deps", "--index-url", INDEX, "torch==2.13.0+cpu"]
    assert INDEX in choice.reason


def test_the_cpu_build_can_be_asked_for_beside_a_driver() -> None:
    choice = choose(variant="cpu", driver=True)
    assert choice.requirement == "torch==2.13.0+cpu"
    assert "was asked for" in choice.reason


def test_the_cuda_build_can_be_asked_for_where_no_driver_is() -> None:
    assert choose(variant="cuda", offered=True).requirement == "torch==2.13.0"


def test_systems_without_cuda_wheels_take_the_plain_one() -> None:
    assert choose(system="Darwin").pip_arguments == ["--no-deps", "torch==2.13.0"]


@pytest.mark.parametrize("variant", ["auto", "cpu"])
@pytest.mark.parametrize("offered", [True, False])
def test_no_cuda_wheel_can_satisfy_what_is_asked_for_without_a_driver(variant: str, offered: bool) -> None:
    assert choose(variant=variant, offered=offered).requirement.endswith("+cpu")


def test_pip_is_asked_for_offers_only_where_the_answer_matters() -> None:
    asked: list[str] = []
    machine = install_torch.Machine(system="Linux", has_nvidia_driver=True)
    install_torch.choose("auto", "2.13.0", INDEX, machine, lambda text: asked.append(text) or True)
    assert asked == []


def test_the_version_comes_from_the_constraints() -> None:
    assert install_torch.pinned_version("a==1\ntorch==2.13.0\ntorchaudio==2.1\n") == "2.13.0"


def test_constraints_without_torch_are_refused() -> None:
    with pytest.raises(ValueError, match="torch"):
        install_torch.pinned_version("torchaudio==2.1\n")


def test_a_loaded_driver_shows_by_its_mark(tmp_path: Path) -> None:
    (tmp_path / "version").touch()
    assert install_torch.nvidia_driver_present(tmp_path / "version", smi="no-such-tool")


def test_a_tool_that_lists_a_gpu_shows_a_driver(tmp_path: Path) -> None:
    smi = executable(tmp_path / "smi", "echo 'GPU 0: NVIDIA L4 (UUID: GPU-1)'")
    assert install_torch.nvidia_driver_present(tmp_path / "absent", smi=smi)


def test_a_tool_that_finds_no_driver_does_not_count(tmp_path: Path) -> None:
    smi = executable(tmp_path / "smi", "echo 'NVIDIA-SMI has failed: no GPU'; exit 9")
    assert not install_torch.nvidia_driver_present(tmp_path / "absent", smi=smi)


def test_a_machine_without_mark_and_tool_has_no_driver(tmp_path: Path) -> None:
    assert not install_torch.nvidia_driver_present(tmp_path / "absent", smi="no-such-tool")


def test_a_failed_install_says_what_to_do_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install_torch, "pip", lambda *_, **__: 1)
    constraints = str(ROOT / "constraints.txt")
    status = install_torch.main(["--variant", "cpu", "--constraints", constraints, "--cpu-index", INDEX])
    assert status == 1
    assert "TORCH_CPU_INDEX" in capsys.readouterr().err


def test_the_script_needs_nothing_installed() -> None:
    command = [sys.executable, "-I", "-S", str(ROOT / "deploy" / "install_torch.py"), "--help"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
