"""Vectors in files that are mapped, so that most rows of a large collection cost no memory of their own.

A file ``vectors-<first seq>.f32`` holds one block: a page that says what it is, the vectors as they are
searched, and their seqs. It is a cache of ``truth.db``: written to a temporary name, synced and renamed;
whatever does not fit or does not match its checksum is thrown away, and its rows are read from the truth.
It is believed only for which vector belongs to a seq, and that never changes. Which rows there are, the
truth says.

Rows that were deleted are overwritten in place. A crash on the way leaves a wrong checksum, and so no file.
"""

import json
import mmap
import os
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from index import files
from index.blocks import Block, Keys, MappedFile
from index.rows import Metric, Vector

FORMAT: Final = 1
_HEADER_BYTES: Final = 4096
_CHUNK_BYTES: Final = 1 << 20
_CHECKING_THREADS: Final = 4
_PATTERN: Final = "vectors-*.f32"


@dataclass(frozen=True, slots=True)
class Header:
    """What a file holds. ``checksum`` is the CRC-32 of all behind the header: four times as fast as a
    cryptographic one, and a start waits for it; nobody gains by forging a cache.
    """

    format: int
    dim: int
    metric: str
    rows: int
    checksum: int

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode().ljust(_HEADER_BYTES)

    def fits(self, dim: int, metric: Metric, size_bytes: int) -> bool:
        """Whether a file of that size can be this, for such a collection."""
        size = _HEADER_BYTES + self.rows * (4 * dim + 8)
        return (self.format, self.dim, self.metric, size) == (FORMAT, dim, metric, size_bytes)


@dataclass(frozen=True, slots=True, eq=False)
class MappedRows:
    """What a file says: vectors (n, dim), where they lie, and their seqs (n,) ascending."""

    file: MappedFile
    vectors: Vector
    seqs: Keys


def write(block: Block, folder: Path, metric: Metric) -> Block:
    """The same rows, with their vectors mapped from a file in ``folder``.

    Raises:
        OSError: it could not be written.
    """
    path = folder / f"vectors-{block.seqs[0]}.f32"
    draft = path.with_suffix(".f32.tmp")
    dim = block.vectors.shape[1]
    checksum = 0
    try:
        with draft.open("wb") as file:
            file.seek(_HEADER_BYTES)
            for part in (block.vectors.astype("<f4", copy=False), block.seqs.astype("<i8", copy=False)):
                data = np.ascontiguousarray(part).data.cast("B")
                checksum = zlib.crc32(data, checksum)
                file.write(data)
            file.seek(0)
            file.write(Header(FORMAT, dim, metric, len(block.seqs), checksum).encode())
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    files.sync(folder)
    mapped = _map(path, len(block.seqs), dim)
    return Block(mapped.vectors, block.seqs, block.documents, block.live, mapped.file)


def load(folder: Path, dim: int, metric: Metric) -> list[MappedRows]:
    """Every file that can be believed, in order of seq. The others, and those that overlap one before, are
    removed.
    """
    paths = list(folder.glob(_PATTERN))
    with ThreadPoolExecutor(min(_CHECKING_THREADS, os.cpu_count() or 1)) as threads:
        headers = list(threads.map(lambda path: _believable(path, dim, metric), paths))
    found = [_map(path, header.rows, dim) for path, header in zip(paths, headers, strict=True) if header]
    kept: list[MappedRows] = []
    for rows in sorted(found, key=lambda rows: int(rows.seqs[0])):
        after = int(kept[-1].seqs[-1]) if kept else 0
        if rows.seqs[0] > after and (np.diff(rows.seqs) > 0).all():
            kept.append(rows)
    for path in set(paths) - {rows.file.path for rows in kept}:
        path.unlink(missing_ok=True)
    return kept


def faulty(folder: Path, dim: int, metric: Metric) -> list[Path]:
    """The files that cannot be believed, which ``load`` would remove."""
    return [path for path in sorted(folder.glob(_PATTERN)) if _believable(path, dim, metric) is None]


def erase_gone(block: Block) -> None:
    """Overwrite, in the file of a mapped block, the vectors of rows that do not count.

    Raises:
        OSError: it could not be written.
    """
    assert block.file is not None
    path = block.file.path
    places = np.flatnonzero(~block.live)
    places = places[[bool(block.vectors[place].any()) for place in places]]
    if not len(places):
        return
    header, row_bytes = _read_header(path), block.vectors[0].nbytes
    with path.open("r+b") as file:
        for place in places:
            file.seek(_HEADER_BYTES + int(place) * row_bytes)
            file.write(bytes(row_bytes))
        file.flush()
        file.seek(0)
        file.write(replace(header, checksum=_checksum(path)).encode())
        file.flush()
        os.fsync(file.fileno())


def let_go(file: MappedFile) -> None:
    """Give the memory of mapped pages back to the system, which finds them again when they are read."""
    file.mapping.madvise(mmap.MADV_DONTNEED)


def _believable(path: Path, dim: int, metric: Metric) -> Header | None:
    with suppress(OSError, ValueError, TypeError):
        header = _read_header(path)
        if header.rows and header.fits(dim, metric, path.stat().st_size):
            return header if _checksum(path) == header.checksum else None
    return None


def _read_header(path: Path) -> Header:
    with path.open("rb") as file:
        return Header(**json.loads(file.read(_HEADER_BYTES)))


def _checksum(path: Path) -> int:
    checksum = 0
    for chunk in _chunks(path):
        checksum = zlib.crc32(chunk, checksum)
    return checksum


def _chunks(path: Path) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    with path.open("rb", buffering=0) as file:
        file.seek(_HEADER_BYTES)
        while count := file.readinto(buffer):
            yield buffer[:count]


def _map(path: Path, rows: int, dim: int) -> MappedRows:
    with path.open("rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    vectors = np.frombuffer(mapping, dtype="<f4", count=rows * dim, offset=_HEADER_BYTES)
    seqs = np.frombuffer(mapping, dtype="<i8", count=rows, offset=_HEADER_BYTES + vectors.nbytes)
    return MappedRows(MappedFile(path, mapping), vectors.reshape(rows, dim), seqs.astype(np.int64))
