"""Files that vectors are mapped from: what is believed, and what leaves them."""

import os
from pathlib import Path

import numpy as np
import pytest

from index import mapped
from index.blocks import Block

DIM = 6


def block_of(first: int, count: int) -> Block:
    rng = np.random.default_rng(first)
    seqs = np.arange(first, first + 2 * count, 2, dtype=np.int64)
    rows = rng.normal(size=(count, DIM)).astype(np.float32)
    return Block(rows, seqs, seqs + 1, np.ones(count, dtype=np.bool_))


def loaded(folder: Path) -> list[mapped.MappedRows]:
    return mapped.load(folder, DIM, "dot")


def test_what_was_written_is_there_in_order_of_seq(tmp_path: Path) -> None:
    blocks = [block_of(first, 10) for first in (101, 1, 41)]
    for block in blocks:
        written = mapped.write(block, tmp_path, "dot")
        np.testing.assert_array_equal(written.vectors, block.vectors)
        assert written.file is not None
        assert written.file.path.parent == tmp_path
    found = loaded(tmp_path)
    assert [int(rows.seqs[0]) for rows in found] == [1, 41, 101]
    np.testing.assert_array_equal(found[2].vectors, blocks[0].vectors)
    np.testing.assert_array_equal(found[2].seqs, blocks[0].seqs)


@pytest.mark.parametrize("place", [1, 15, 5000, 4096, -1, -90])
def test_a_file_with_a_changed_byte_is_thrown_away(tmp_path: Path, place: int) -> None:
    mapped.write(block_of(1, 100), tmp_path, "dot")
    mapped.write(block_of(1001, 100), tmp_path, "dot")
    path = tmp_path / "vectors-1.f32"
    content = bytearray(path.read_bytes())
    content[place] ^= 0x11
    path.write_bytes(content)
    assert [int(rows.seqs[0]) for rows in loaded(tmp_path)] == [1001]
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b"\xff" * 5000, b"[1]".ljust(4096)])
def test_a_file_that_is_something_else_is_thrown_away(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "vectors-7.f32").write_bytes(content)
    assert loaded(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_file_cut_short_is_thrown_away(tmp_path: Path) -> None:
    mapped.write(block_of(1, 100), tmp_path, "dot")
    os.truncate(tmp_path / "vectors-1.f32", 5000)
    assert loaded(tmp_path) == []


@pytest.mark.parametrize(("dim", "metric"), [(DIM + 1, "dot"), (DIM, "cosine")])
def test_a_file_of_another_collection_is_thrown_away(tmp_path: Path, dim: int, metric: str) -> None:
    mapped.write(block_of(1, 10), tmp_path, "dot")
    assert mapped.load(tmp_path, dim, metric) == []  # type: ignore[arg-type]


def test_of_files_that_overlap_the_first_is_kept(tmp_path: Path) -> None:
    for first in (1, 11, 21):  # a row at every second seq, ten of them
        mapped.write(block_of(first, 10), tmp_path, "dot")
    assert [int(rows.seqs[0]) for rows in loaded(tmp_path)] == [1, 21]
    assert not (tmp_path / "vectors-11.f32").exists()


def test_rows_that_are_gone_leave_the_file_and_the_others_stay(tmp_path: Path) -> None:
    block = block_of(1, 50)
    written = mapped.write(block, tmp_path, "dot")
    gone, kept = block.vectors[7].tobytes(), block.vectors[8].tobytes()
    written.live[[7, 30]] = False
    mapped.erase_gone(written)
    content = (tmp_path / "vectors-1.f32").read_bytes()
    assert (gone in content, kept in content) == (False, True)
    (found,) = loaded(tmp_path)
    np.testing.assert_array_equal(np.flatnonzero(~found.vectors.any(axis=1)), [7, 30])
    np.testing.assert_array_equal(written.vectors, found.vectors)


def test_a_crash_while_rows_are_overwritten_costs_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = mapped.write(block_of(1, 50), tmp_path, "dot")
    written.live[3] = False

    def crash(path: Path) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mapped, "_checksum", crash)
        with pytest.raises(KeyboardInterrupt):
            mapped.erase_gone(written)
    assert loaded(tmp_path) == []


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        mapped.write(block_of(1, 50), tmp_path, "dot")
    assert list(tmp_path.iterdir()) == []


def test_pages_that_were_let_go_are_read_again(tmp_path: Path) -> None:
    block = block_of(1, 5000)
    written = mapped.write(block, tmp_path, "dot")
    assert written.file is not None
    mapped.let_go(written.file)
    np.testing.assert_array_equal(written.vectors, block.vectors)
