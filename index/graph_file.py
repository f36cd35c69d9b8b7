"""What a file that hnswlib 0.8.0 wrote looks like inside, for what hnswlib itself does not do: forget a
vector for good.

A header of 96 bytes, then for each element one record: its links on the lowest level (how many, in two
bytes; a byte of marks; their places), its vector as hnsw.cpp keeps it, its label. Behind them lie the upper
levels, which have no vectors. (``saveIndex`` in hnswalg.h.)
"""

import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from index.blocks import Keys, Mask, members

_HEADER: Final = np.dtype(
    [
        ("offset_level0", "<u8"),
        ("max_elements", "<u8"),
        ("count", "<u8"),
        ("record_bytes", "<u8"),
        ("label_offset", "<u8"),
        ("data_offset", "<u8"),
        ("max_level", "<i4"),
        ("entry_point", "<u4"),
        ("max_m", "<u8"),
        ("max_m0", "<u8"),
        ("m", "<u8"),
        ("mult", "<f8"),
        ("ef_construction", "<u8"),
    ]
)
_DELETED: Final = 1
_ERASED_AT_ONCE: Final = 2048


def erase_gone(path: Path, live: Keys | None = None) -> bool:
    """Overwrite the vectors of deleted elements; with ``live`` (ascending labels) all others are marked as
    deleted first. False if there were none, and nothing was written.

    A deleted element goes on leading searches to its neighbours, so it takes the place of one that is alive.

    Raises:
        OSError, ValueError: it is no such file, or cannot be written.
    """
    records = _records(path, "r+")
    gone = (records["marks"] & _DELETED).astype(np.bool_)
    if live is not None:
        gone |= ~members(records["label"].astype(np.int64), live)
    places = np.flatnonzero(gone)
    if not len(places):
        return False
    records["marks"][places] |= _DELETED
    for start in range(0, len(places), _ERASED_AT_ONCE):
        some = places[start : start + _ERASED_AT_ONCE]
        records["vector"][some] = _stand_ins(records, some, gone)
    records.flush()
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return True


def _stand_ins(records: Any, places: npt.NDArray[np.intp], gone: Mask) -> npt.NDArray[np.uint8]:
    """For each of these elements the vector of a neighbour that is not gone, or zeros (n, bytes)."""
    links = records["links"][places]
    there = np.arange(links.shape[1]) < records["link_count"][places][:, None]
    usable = there & ~gone[np.where(there, links, 0)]
    found = usable.any(axis=1)
    neighbours = links[np.arange(len(places)), usable.argmax(axis=1)]
    vectors: npt.NDArray[np.uint8] = records["vector"][np.where(found, neighbours, 0)]
    vectors[~found] = 0
    return vectors


def _records(path: Path, mode: Any) -> np.memmap[Any, np.dtype[Any]]:
    with path.open("rb") as file:
        header = np.frombuffer(file.read(_HEADER.itemsize), dtype=_HEADER)[0]
    count, dtype = int(header["count"]), _record(header)
    if path.stat().st_size < _HEADER.itemsize + count * dtype.itemsize:
        raise ValueError(f"{path} is too short for {count} elements")
    return np.memmap(path, dtype=dtype, mode=mode, offset=_HEADER.itemsize, shape=(count,))


def _record(header: Any) -> np.dtype[Any]:
    links, data, label = int(header["max_m0"]), int(header["data_offset"]), int(header["label_offset"])
    if data != 4 + 4 * links or label + 8 != header["record_bytes"] or label <= data:
        raise ValueError("not a graph that hnswlib 0.8.0 wrote")
    fields: list[tuple[str, Any, Any]] = [
        ("link_count", "<u2", ()),
        ("marks", "u1", ()),
        ("unused", "u1", ()),
        ("links", "<u4", (links,)),
        ("vector", "u1", (label - data,)),
        ("label", "<u8", ()),
    ]
    return np.dtype(fields)
