"""The files of the web page as they are sent: read once when the service starts, compressed once.

Knows no HTTP. There is no build step: what lies in ``static`` is what a browser gets, and nothing in it names
another host.
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

INDEX: Final = "index.html"
MEDIA_TYPES: Final[Mapping[str, str]] = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "json": "application/json",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file; ``tag`` changes with its bytes."""

    content: bytes
    compressed: bytes
    media_type: str
    tag: str


def load_assets() -> dict[str, Asset]:
    """Every file of the page by its name."""
    return {
        file.name: _asset(file) for file in files("api.ui").joinpath("static").iterdir() if file.is_file()
    }


def _asset(file: Traversable) -> Asset:
    content = file.read_bytes()
    return Asset(
        content=content,
        compressed=gzip.compress(content, mtime=0),
        media_type=MEDIA_TYPES[file.name.rpartition(".")[2]],
        tag=hashlib.sha256(content).hexdigest()[:16],
    )
