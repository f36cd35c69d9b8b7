"""Which headers are compiled in, without asking pip."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from deploy_scripts import load_script

ROOT = Path(__file__).resolve().parents[2]


script = load_script("hnswlib_headers")


def archive(folder: Path, names: list[str]) -> Path:
    path = folder / "hnswlib-9.9.9.tar.gz"
    with tarfile.open(path, "w:gz") as made:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            made.addfile(member, io.BytesIO(name.encode()))
    return path


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source distribution that the script knows."""
    names = ["h-9/hnswlib/hnswlib.h", "h-9/hnswlib/space_l2.h", "h-9/setup.py", "h-9/hnswlib/../../evil.h"]
    path = archive(tmp_path, names)
    monkeypatch.setitem(script.KNOWN, "9.9.9", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def test_the_version_that_the_project_pins_is_known() -> None:
    assert script.pinned_version((ROOT / "constraints.txt").read_text()) in script.KNOWN


@pytest.mark.parametrize("constraints", ["", "numpy==1\n", "hnswlib>=0.8\n", "hnswlib==0.0.1\n"])
def test_another_version_is_refused(constraints: str) -> None:
    with pytest.raises(ValueError, match="hnswlib"):
        script.pinned_version(constraints)


def test_headers_are_unpacked_and_nothing_else(known: Path, tmp_path: Path) -> None:
    target = tmp_path / "include" / "hnswlib"
    assert not script.is_there("9.9.9", target)
    script.unpack(known, "9.9.9", target)
    assert sorted(path.name for path in target.iterdir()) == ["VERSION", "hnswlib.h", "space_l2.h"]
    assert script.is_there("9.9.9", target)
    assert not script.is_there("9.9.10", target)


def test_a_changed_archive_is_refused(known: Path, tmp_path: Path) -> None:
    known.write_bytes(known.read_bytes() + b"\0")
    with pytest.raises(ValueError, match="sha256"):
        script.unpack(known, "9.9.9", tmp_path / "include")
    assert not (tmp_path / "include").exists()


def test_an_archive_without_headers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path, ["h-9/setup.py"])
    monkeypatch.setitem(script.KNOWN, "9.9.9", hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(ValueError, match="no headers"):
        script.unpack(path, "9.9.9", tmp_path / "include")
