"""The members of a ZIP file, which is what most office documents are, unpacked no further than is safe.

What is refused, before any of it is unpacked: too many members, and members that claim to be too large or to
shrink too well. ``zipfile`` gives no byte beyond what a member claims, so nothing unpacks to more than was
allowed. An archive inside an archive is never opened.
"""

import contextlib
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from api.services.extraction import UnreadableFile

_MOST_MEMBERS = 20_000
_MOST_UNPACKED_BYTES = 512 * 2**20
# Deflate reaches 1,032. A sheet of equal numbers reaches 150 or so, prose 5.
_HIGHEST_RATIO = 250
_RATIO_FROM_BYTES = 4 * 2**20
_ENCRYPTED = 0x1
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    NotImplementedError,
    ValueError,
    OverflowError,
)


class Archive:
    """The members of one file; made by ``open_archive``. What is read counts towards one sum."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file
        self._members = {member.filename: member for member in file.infolist()}
        self._unpacked = 0

    @property
    def names(self) -> list[str]:
        return list(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def read(self, name: str) -> bytes:
        """All of the member ``name``.

        Raises:
            UnreadableFile: it is not there, encrypted, damaged, or too large.
        """
        with self.open(name) as member:
            return member.read()

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """The member ``name``, to be read in pieces.

        Raises:
            UnreadableFile: it is not there, encrypted, damaged, or too large; also while it is read.
        """
        if name not in self._members:
            raise UnreadableFile("broken", f"is damaged: its part {name!r} is missing")
        self._admit(self._members[name])
        try:
            with self._file.open(self._members[name]) as member:
                yield member
        except _DAMAGED as error:
            raise UnreadableFile("broken", f"is damaged: its part {name!r} cannot be unpacked") from error

    def admit_all(self) -> None:
        """Counts every member as read, for a reader that unpacks by itself.

        Raises:
            UnreadableFile: together they are too large, or one of them cannot be read.
        """
        for member in self._members.values():
            self._admit(member)

    def _admit(self, member: zipfile.ZipInfo) -> None:
        if member.flag_bits & _ENCRYPTED:
            raise UnreadableFile("encrypted", "is encrypted: remove its password")
        self._unpacked += member.file_size
        shrunk_well = member.file_size > _HIGHEST_RATIO * max(member.compress_size, 1)
        if self._unpacked > _MOST_UNPACKED_BYTES or (shrunk_well and member.file_size > _RATIO_FROM_BYTES):
            raise UnreadableFile(
                "too_large",
                f"unpacks to more than is safe: its part {member.filename!r} has "
                f"{member.compress_size:,} bytes that claim to be {member.file_size:,}",
            )


@contextlib.contextmanager
def open_archive(source: IO[bytes] | Path) -> Iterator[Archive]:
    """The archive in ``source``.

    Raises:
        UnreadableFile: it is no archive, a damaged one, or has too many members.
    """
    try:
        file = zipfile.ZipFile(source)
    except _DAMAGED as error:
        raise UnreadableFile("broken", f"is damaged: it cannot be unpacked ({error})") from error
    with file:
        if len(file.infolist()) > _MOST_MEMBERS:
            raise UnreadableFile("too_large", f"has {len(file.infolist()):,} parts, limit {_MOST_MEMBERS:,}")
        yield Archive(file)
