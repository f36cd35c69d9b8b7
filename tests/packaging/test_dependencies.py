"""What pyproject.toml and constraints.txt promise about each other and about the environment."""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


@cache
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@cache
def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def direct_requirements() -> list[Requirement]:
    named = project()["project"]
    extras = [line for lines in named["optional-dependencies"].values() for line in lines]
    built_with = project()["build-system"]["requires"]
    return [Requirement(line) for line in named["dependencies"] + extras + built_with]


def required_by(requirement: Requirement) -> Iterator[Requirement]:
    """What the installed distribution of ``requirement`` needs here, with the extras that were asked for."""
    for line in metadata.requires(requirement.name) or []:
        needed = Requirement(line)
        asked = requirement.extras | {""}
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in asked):
            yield needed


def transitive_names() -> set[str]:
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = direct_requirements()
    while waiting:
        requirement = waiting.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key not in seen:
            seen.add(key)
            waiting.extend(required_by(requirement))
    return {name for name, _ in seen}


def test_every_package_on_disk_is_listed_and_nothing_else() -> None:
    on_disk = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for top in ("api", "embedd", "index")
        for file in (ROOT / top).rglob("__init__.py")
    }
    assert sorted(on_disk) == sorted(project()["tool"]["setuptools"]["packages"])


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {file.parent for top in ("api", "embedd", "index") for file in (ROOT / top).rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_every_dependency_is_pinned_down_to_the_last() -> None:
    assert sorted(transitive_names() - pins().keys()) == []


def test_what_is_installed_is_what_is_pinned() -> None:
    installed = {name: metadata.version(name).partition("+")[0] for name in transitive_names()}
    assert installed == {name: pins()[name] for name in installed}


def test_pins_are_sorted_normalised_and_without_a_local_version() -> None:
    assert list(pins()) == sorted(pins())
    assert all(name == canonicalize_name(name) for name in pins())
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version) for version in pins().values())


def test_pins_satisfy_what_the_project_asks_for() -> None:
    for requirement in direct_requirements():
        assert pins()[canonicalize_name(requirement.name)] in requirement.specifier


def test_torch_is_pinned_to_one_version_everywhere() -> None:
    asked = {r.name: r.specifier for r in direct_requirements()}["torch"]
    assert asked == SpecifierSet("==2.13.0")
    assert pins()["torch"] == "2.13.0"


@pytest.mark.parametrize("tool", ["pip", "pybind11", "setuptools", "wheel"])
def test_tools_that_build_from_source_are_pinned_too(tool: str) -> None:
    assert tool in pins()
