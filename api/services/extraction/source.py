"""Where the bytes of a file are."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from api.services.extraction import UnreadableFile


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes at hand, or the path of a file that may have no more than ``max_bytes``."""

    content: bytes | Path
    max_bytes: int

    def read(self) -> bytes:
        """All of it.

        Raises:
            UnreadableFile: it has grown beyond the limit since somebody looked.
        """
        if isinstance(self.content, bytes):
            return self.content
        with self.content.open("rb") as file:
            data = file.read(self.max_bytes + 1)
        if len(data) > self.max_bytes:
            raise UnreadableFile("too_large", f"has more than {self.max_bytes:,} bytes")
        return data

    def open(self) -> IO[bytes]:
        """It as a stream that can seek."""
        return BytesIO(self.content) if isinstance(self.content, bytes) else self.content.open("rb")
