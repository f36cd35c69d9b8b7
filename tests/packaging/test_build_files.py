"""The files around the code: Makefile, continuous integration, image, hooks, licence."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from api.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ("setup", "run", "test", "check", "bench", "lock", "clean")
# Put together here, so that this file passes its own test.
REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("crates", "io"),
        ("conda", "anaconda", "org"),
    )
)
TORCH_HOST = "download." + "pytorch.org"


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def project_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def files_that_name(host: str) -> set[str]:
    return {
        str(file.relative_to(ROOT)) for file in project_files() if host.encode() in file.read_bytes().lower()
    }


def dockerfile() -> list[tuple[str, str]]:
    """Statements as (instruction, rest), continuation lines joined, comments dropped."""
    lines = [line for line in read("Dockerfile").splitlines() if not line.lstrip().startswith("#")]
    statements = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [tuple(line.strip().split(None, 1)) for line in statements if line.strip()]


def last_stage() -> list[tuple[str, str]]:
    statements = dockerfile()
    starts = [number for number, (instruction, _) in enumerate(statements) if instruction == "FROM"]
    return statements[starts[-1] :]


def dry_run(*arguments: str) -> str:
    command = ["make", "--no-print-directory", "--dry-run", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("target", TARGETS)
def test_make_knows_the_target_and_lists_it(target: str) -> None:
    assert dry_run(target)
    assert (
        f"make {target}"
        in subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    )


def test_make_run_starts_the_demo() -> None:
    assert ".venv/bin/embedd demo" in dry_run("run")


def test_make_check_formats_lints_types_and_tests_in_that_order() -> None:
    commands = dry_run("check")
    steps = ["ruff format --check", "ruff check", "bin/mypy", "pytest"]
    places = [commands.index(step) for step in steps]
    assert places == sorted(places)


def test_the_whole_suite_runs_in_parallel_and_a_part_of_it_does_not() -> None:
    assert "--numprocesses" in dry_run("test")
    assert "--numprocesses" not in dry_run("test", "ARGS=-k search")


def test_make_coverage_watches_the_whole_suite() -> None:
    assert "--cov" not in dry_run("test")
    assert "--cov --cov-report=term --numprocesses" in dry_run("coverage")


def test_make_clean_keeps_the_data() -> None:
    assert "embedd-data" not in dry_run("clean")


def test_a_python_that_is_too_old_is_named_in_the_error(tmp_path: Path) -> None:
    copy = tmp_path / "checkout"
    copy.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (copy / name).write_text(read(name))
    needed = ("install_torch.py", "hnswlib_headers.py")
    for name in (*(f"deploy/{one}" for one in needed), "embedd/worker/kernels.cpp", "index/hnsw.cpp"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).touch()
    outcome = subprocess.run(
        ["make", "setup", "PYTHONS=python-that-is-not-there"],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode != 0
    assert "needs Python 3.11 or newer" in outcome.stderr
    assert not (copy / ".venv").exists()


def test_continuous_integration_runs_the_whole_check() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert read(".ci/run").startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in read(".ci/run")
    assert read(".ci/run").rstrip().endswith("make check")
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


def test_the_dockerfile_has_only_known_instructions() -> None:
    known = {"ARG", "FROM", "ENV", "RUN", "WORKDIR", "COPY", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL"}
    known |= {"HEALTHCHECK", "ENTRYPOINT", "CMD"}
    assert {instruction for instruction, _ in dockerfile()} <= known
    assert dockerfile()[0][0] == "ARG"


def test_the_image_builds_in_one_stage_and_runs_in_another() -> None:
    stages = [rest for instruction, rest in dockerfile() if instruction == "FROM"]
    assert len(stages) == 2
    assert stages[0].endswith(" AS build")
    assert any(rest.startswith("--from=build ") for _, rest in last_stage())


def test_the_image_does_not_run_as_root() -> None:
    users = [rest for instruction, rest in last_stage() if instruction == "USER"]
    assert users
    assert all(int(part) > 0 for part in users[-1].split(":"))


def test_the_image_takes_a_cpu_torch_unless_told() -> None:
    assert ("ARG", "TORCH=cpu") in dockerfile()


def test_nothing_is_compiled_for_the_building_machine_alone() -> None:
    modules = tomllib.loads(read("pyproject.toml"))["tool"]["setuptools"]["ext-modules"]
    assert len(modules) == 5
    assert not any("-march=native" in module["extra-compile-args"] for module in modules)


def test_every_setting_that_the_image_names_exists() -> None:
    named = set(re.findall(r"\bEMBEDD_([A-Z_]+)", read("Dockerfile")))
    assert {"HOST", "PORT", "DATA"} <= named
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_the_image_listens_on_every_address_inside_its_container() -> None:
    assert any("EMBEDD_HOST=0.0.0.0" in rest for instruction, rest in last_stage() if instruction == "ENV")


def test_commands_of_the_image_are_json_lists_that_parse() -> None:
    commands = [rest for instruction, rest in last_stage() if instruction in {"ENTRYPOINT", "CMD"}]
    health = next(rest for instruction, rest in last_stage() if instruction == "HEALTHCHECK")
    probe = json.loads(health.partition("CMD")[2])
    assert [json.loads(command) for command in commands] == [["embedd"], ["serve"]]
    assert probe == ["embedd", "health"]


def test_everything_that_the_image_copies_is_there_and_not_ignored() -> None:
    kept = {line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")}
    sources = [rest.split()[:-1] for instruction, rest in dockerfile() if instruction == "COPY"]
    names = {name for line in sources for name in line if not line[0].startswith("--from")}
    assert names == kept
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_hooks_run_the_project_own_tools_without_a_network() -> None:
    repos = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    hooks = [hook for repo in repos for hook in repo["hooks"]]
    assert {repo["repo"] for repo in repos} == {"local"}
    assert [hook["id"] for hook in hooks] == ["ruff-format", "ruff-check", "mypy"]
    assert all(hook["entry"].startswith(".venv/bin/") for hook in hooks)
    assert {hook["language"] for hook in hooks} == {"system"}


def test_the_licence_is_apache_2() -> None:
    text = read("LICENSE")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert tomllib.loads(read("pyproject.toml"))["project"]["license"] == "Apache-2.0"


@pytest.mark.parametrize("host", REGISTRIES)
def test_no_file_names_a_package_registry(host: str) -> None:
    assert files_that_name(host) == set()


def test_only_make_and_the_image_name_where_torch_keeps_its_cpu_builds() -> None:
    assert files_that_name(TORCH_HOST) == {"Makefile", "Dockerfile"}
