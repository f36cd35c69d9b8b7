"""Files that somebody writes to while they are sent."""

from pathlib import Path

import pytest

from api.cli.steady_file import FileChangedError, SteadyFile


def read_all(file: SteadyFile, size: int) -> bytes:
    return b"".join(iter(lambda: file.read(size), b""))


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_file_at_rest_is_read_to_its_end_as_often_as_asked(tmp_path: Path, size: int) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    with SteadyFile(tmp_path / "a") as file:
        assert read_all(file, size) == b"0123456789"
        file.seek(0)
        assert read_all(file, size) == b"0123456789"


@pytest.mark.parametrize("then", [b"0123456789 and more", b"01", b""])
def test_a_file_that_grows_or_shrinks_while_it_is_read_is_not_taken(tmp_path: Path, then: bytes) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    with SteadyFile(tmp_path / "a") as file:
        assert file.read(2) == b"01"
        (tmp_path / "a").write_bytes(then)
        with pytest.raises(FileChangedError, match="while it was read"):
            read_all(file, 4)


def test_an_empty_file_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with SteadyFile(tmp_path / "a") as file:
        assert file.read(10) == b""
