"""Writes small compound files by hand (MS-CFB, version 3), with storages one level deep."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

_SECTOR, _MINI_SECTOR = 512, 64
_MINI_BELOW = 4_096
_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
_STORAGE, _STREAM, _ROOT = 1, 2, 5
_NONE = 0xFFFFFFFF


@dataclass(slots=True)
class _Chains:
    """Pieces of ``size`` bytes, and for each the one that follows it."""

    size: int
    pieces: list[bytes] = field(default_factory=list)
    following: list[int] = field(default_factory=list)

    def add(self, data: bytes) -> int:
        """Adds ``data``; where it begins."""
        first = len(self.pieces)
        for start in range(0, len(data), self.size):
            self.pieces.append(data[start : start + self.size].ljust(self.size, b"\0"))
            self.following.append(len(self.pieces))
        if data:
            self.following[-1] = _END
        return first if data else _END

    def table(self) -> bytes:
        """One sector of it, which is enough for 128 pieces."""
        return struct.pack("<128I", *self.following, *[_FREE] * (128 - len(self.following)))


def compound(streams: Mapping[str, bytes]) -> bytes:
    """A file with these streams, whose names may hold one ``/``; small enough for a single sector of FAT."""
    sectors, minis = _Chains(_SECTOR, [b""], [_FAT]), _Chains(_MINI_SECTOR)
    first = {
        path: (minis if len(data) < _MINI_BELOW else sectors).add(data) for path, data in streams.items()
    }
    mini_stream = b"".join(minis.pieces)
    places = {path: (first[path], len(data)) for path, data in streams.items()}
    places[""] = (sectors.add(mini_stream), len(mini_stream))
    mini_table_at = sectors.add(minis.table())
    directory = b"".join(
        _entry(name, kind, links, *places.get(path, (0, 0))) for path, name, kind, links in _tree(streams)
    )
    directory_at = sectors.add(directory + bytes(-len(directory) % _SECTOR))
    sectors.pieces[0] = sectors.table()
    return _header(directory_at, mini_table_at) + b"".join(sectors.pieces)


def _tree(streams: Mapping[str, bytes]) -> list[tuple[str, str, int, tuple[int, int]]]:
    """Path, name, kind and (right sibling, child) of each entry; siblings are a list, which a tree may be."""
    top = sorted({path.partition("/")[0] for path in streams})
    inside = {name: sorted(path for path in streams if path.startswith(f"{name}/")) for name in top}
    rows = [("", "Root Entry", _ROOT, (_NONE, 1))]
    inner_at = 1 + len(top)
    for number, name in enumerate(top, 1):
        child = inner_at if inside[name] else _NONE
        kind = _STORAGE if inside[name] else _STREAM
        rows.append((name, name, kind, (number + 1 if number < len(top) else _NONE, child)))
        inner_at += len(inside[name])
    for paths in inside.values():
        for place, path in enumerate(paths, 1):
            sibling = len(rows) + 1 if place < len(paths) else _NONE
            rows.append((path, path.partition("/")[2], _STREAM, (sibling, _NONE)))
    return rows


def _entry(name: str, kind: int, links: tuple[int, int], first: int, size: int) -> bytes:
    encoded = name.encode("utf-16-le")
    head = encoded.ljust(64, b"\0") + struct.pack("<HBBIII", len(encoded) + 2, kind, 1, _NONE, *links)
    return head + bytes(36) + struct.pack("<IQ", first, size)


def _header(directory_at: int, mini_table_at: int) -> bytes:
    magic = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    versions = struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    counts = struct.pack("<IIIIIIIII", 0, 1, directory_at, 0, _MINI_BELOW, mini_table_at, 1, _END, 0)
    return magic + versions + counts + struct.pack("<109I", 0, *[_FREE] * 108)
