"""Fetches hnswlib's C++ headers, which index/hnsw.cpp is compiled against, into build/include/hnswlib.

hnswlib's Python package installs a compiled module and no headers; its source distribution has them. pip
brings that in the version that constraints.txt pins, from wherever it is configured to look. Runs before the
project is installed, so it needs the standard library alone, and does nothing if the headers are there.
"""

import argparse
import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

# By version, the sha256 of the source distribution: a new version is looked at before it is compiled in.
KNOWN = {"0.8.0": "cb6d037eedebb34a7134e7dc78966441dfd04c9cf5ee93911be911ced951c44c"}
TARGET = Path("build/include/hnswlib")


def pinned_version(constraints: str) -> str:
    """The version that the text of a constraints file pins hnswlib to.

    Raises:
        ValueError: no line pins it, or it is a version whose checksum is not known here.
    """
    pin = re.search(r"^hnswlib==([^\s;+]+)\s*$", constraints, re.MULTILINE)
    if pin is None:
        raise ValueError("the constraints file has no line 'hnswlib==<version>'")
    if pin.group(1) not in KNOWN:
        raise ValueError(f"hnswlib {pin.group(1)} is not among the known versions: {', '.join(KNOWN)}")
    return pin.group(1)


def download(version: str, folder: Path) -> Path:
    """The source distribution, in ``folder``.

    Raises:
        subprocess.CalledProcessError: pip could not bring it; it has said why.
    """
    asked = ["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", "hnswlib"]
    command = [sys.executable, "-m", "pip", *asked, "--dest", str(folder), f"hnswlib=={version}"]
    subprocess.run(command, check=True)
    return next(folder.glob("hnswlib-*.tar.gz"))


def unpack(archive: Path, version: str, target: Path) -> None:
    """Put the headers, and nothing else of the archive, into the folder ``target``.

    Raises:
        ValueError: the archive is not the one that is known, or has no headers.
    """
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != KNOWN[version]:
        raise ValueError(f"{archive.name} has the sha256 {found}, expected {KNOWN[version]}")
    with tarfile.open(archive) as members:
        headers = [member for member in members if re.fullmatch(r"[^/]+/hnswlib/\w+\.h", member.name)]
        if not headers:
            raise ValueError(f"{archive.name} has no headers")
        target.mkdir(parents=True, exist_ok=True)
        for member in headers:
            file = members.extractfile(member)
            assert file is not None
            (target / Path(member.name).name).write_bytes(file.read())
    (target / "VERSION").write_text(version)


def is_there(version: str, target: Path) -> bool:
    """Whether the headers of this version were unpacked, all of them."""
    stamp = target / "VERSION"
    return stamp.exists() and stamp.read_text() == version


def main(arguments: Sequence[str] | None = None) -> None:
    """Fetches the headers, if they are not there."""
    parser = argparse.ArgumentParser(description="Fetch hnswlib's headers.")
    parser.add_argument("--constraints", type=Path, required=True, help="the file that pins hnswlib")
    parser.add_argument("--target", type=Path, default=TARGET, help="where they go (default: %(default)s)")
    options = parser.parse_args(arguments)
    version = pinned_version(options.constraints.read_text(encoding="utf-8"))
    if is_there(version, options.target):
        return
    with tempfile.TemporaryDirectory() as folder:
        unpack(download(version, Path(folder)), version, options.target)


if __name__ == "__main__":
    main()
