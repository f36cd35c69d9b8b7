"""A file that is sent as it was when it was opened, or not to its end.

Others may write to it meanwhile: half of one state and half of the next must not become a document, and the
request has said how long it is before it is read.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Self


class FileChangedError(OSError):
    """Somebody wrote to the file while it was read."""


class SteadyFile:
    """As much of a binary file as httpx needs to send it.

    Reading raises `FileChangedError` at the end of a file that is no longer what it was.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._was = self._state()
        self._left = self._was[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def fileno(self) -> int:
        return self._file.fileno()

    def seek(self, offset: int) -> int:
        self._left = self._was[0] - offset
        return self._file.seek(offset)

    def read(self, size: int) -> bytes:
        block = self._file.read(min(size, self._left))
        self._left -= len(block)
        if (not self._left or not block) and self._state() != self._was:
            raise FileChangedError("was changed while it was read: ingest it again when it is at rest")
        return block

    def _state(self) -> tuple[int, int]:
        found = os.fstat(self._file.fileno())
        return found.st_size, found.st_mtime_ns
