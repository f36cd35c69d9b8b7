"""Files in, text out; a file that cannot be read fails alone, with a reason that a person understands.

Text and Markdown are only decoded. HTML and PDF are read in a child process with limits on memory, processor
time, waiting time and output, because such files come from anywhere: the worst one costs itself and a new
child. Knows nothing of chunks, models or collections.

Invariant: the child has one file at a time, so whatever ends it is the fault of that file.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.services.decode import UndecodableText, decode_text
from api.services.extraction import UnreadableFile
from api.services.file_types import MEDIA_TYPES, SNIFFED_BYTES, FileType, UnsupportedType, detect_type
from api.services.outline import markdown_title
from embedd.child import Child, open_child
from embedd.errors import CallFailed, ChildDied, ChildTimedOut, describe_exit

_CHILD = "api.services.extraction"


class ParseFailed(Exception):
    """The file gives no text; the message is the reason, without the file's name."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """``text`` is what all offsets count in; for HTML it is Markdown (``media_type`` stays ``text/html``).

    ``page_starts`` has the code-point offset of every page's first character, ascending; empty without pages.
    """

    text: str
    media_type: str
    title: str | None = None
    page_starts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParserLimits:
    """What a single file may cost."""

    timeout_s: float = 60.0
    cpu_s: int = 60
    memory_bytes: int = 2**30
    input_bytes: int = 256 * 2**20
    output_characters: int = 20_000_000


class Parser:
    """Reads files; made by ``open_parser``, shared by all requests."""

    def __init__(self, limits: ParserLimits, cleanup: contextlib.AsyncExitStack) -> None:
        self._limits = limits
        self._cleanup = cleanup
        self._child: Child | None = None
        self._turn = asyncio.Lock()

    async def parse(
        self,
        source: str | bytes | Path,
        *,
        media_type: str | None = None,
        filename: str | None = None,
        password: str | None = None,
    ) -> Parsed:
        """The text of ``source``: characters, a file's bytes, or where the file lies.

        ``media_type`` may be a format's name (``markdown``) and carry a charset; without it the extension of
        ``filename`` decides, then the content. Characters are plain text unless said otherwise.

        Raises:
            ParseFailed: with the reason.
        """
        try:
            head, size = await asyncio.to_thread(_look, source)
            if size > self._limits.input_bytes:
                raise ParseFailed(f"has {size:,} bytes, limit {self._limits.input_bytes:,}")
            detected = detect_type(head, media_type, filename)
            if detected.kind in ("html", "pdf"):
                return await self._extract(detected, source, password)
            return await asyncio.to_thread(_decode, detected, source, self._limits.output_characters)
        except (UnsupportedType, UndecodableText) as error:
            raise ParseFailed(str(error)) from error
        except OSError as error:
            raise ParseFailed(f"cannot be read: {error.strerror}") from error

    async def _extract(self, detected: FileType, source: str | bytes | Path, password: str | None) -> Parsed:
        payload = _payload(source, detected.charset) | {"password": password}
        async with self._turn:
            reply = await self._call(detected.kind, payload)
        media_type = MEDIA_TYPES[detected.kind]
        return Parsed(reply["text"], media_type, reply["title"], tuple(reply["page_starts"]))

    async def _call(self, op: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return await self._ask_child(op, payload)
        except CallFailed as error:
            raise ParseFailed(_describe_failure(error, self._limits)) from error
        except ChildTimedOut as error:
            raise ParseFailed(f"took longer than {error.timeout_s:g} s to read") from error
        except ChildDied as error:
            raise ParseFailed(_describe_death(error, self._limits)) from error

    async def _ask_child(self, op: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        child = await self._live_child()
        try:
            return await child.call(op, payload, self._limits.timeout_s)
        except CallFailed:
            raise
        except BaseException:
            # It is dead, or nobody waits for what it is doing: the next file gets another one.
            child.kill()
            self._child = None
            raise

    async def _live_child(self) -> Child:
        """The child at hand, or a new one: at first there is none, and files may end it."""
        if self._child is None or self._child.closed.is_set():
            await self._cleanup.aclose()
            limits = self._limits
            args = (
                *("--memory-bytes", str(limits.memory_bytes), "--cpu-s", str(limits.cpu_s)),
                *("--max-characters", str(limits.output_characters)),
            )
            opening = open_child(_CHILD, args, name="document parser")
            self._child = await self._cleanup.enter_async_context(opening)
        return self._child


@contextlib.asynccontextmanager
async def open_parser(limits: ParserLimits | None = None) -> AsyncIterator[Parser]:
    """A parser whose child starts with the first file that needs it and ends with the context."""
    async with contextlib.AsyncExitStack() as cleanup:
        yield Parser(limits or ParserLimits(), cleanup)


def _look(source: str | bytes | Path) -> tuple[bytes, int]:
    """The first bytes, and how many there are; characters are never guessed at, so they show none."""
    if isinstance(source, str):
        return b"", len(source)
    if isinstance(source, bytes):
        return source[:SNIFFED_BYTES], len(source)
    with source.open("rb") as file:
        return file.read(SNIFFED_BYTES), source.stat().st_size


def _payload(source: str | bytes | Path, charset: str | None) -> dict[str, Any]:
    if isinstance(source, Path):
        return {"path": str(source), "data": None, "charset": charset}
    if isinstance(source, str):
        return {"path": None, "data": source.encode(), "charset": "utf-8"}
    return {"path": None, "data": source, "charset": charset}


def _decode(detected: FileType, source: str | bytes | Path, max_characters: int) -> Parsed:
    data = source.read_bytes() if isinstance(source, Path) else source
    text = data if isinstance(data, str) else decode_text(data, detected.charset)
    if not text or text.isspace():
        raise ParseFailed("is empty")
    if len(text) > max_characters:
        raise ParseFailed(f"holds more than {max_characters:,} characters of text: split it")
    title = markdown_title(text) if detected.kind == "markdown" else None
    return Parsed(text, MEDIA_TYPES[detected.kind], title)


def _describe_failure(error: CallFailed, limits: ParserLimits) -> str:
    if error.kind == UnreadableFile.__name__:
        return str(error)
    if error.kind == MemoryError.__name__:
        return f"needs more than {limits.memory_bytes >> 20:,} MiB of memory to read"
    return f"could not be read ({error.kind}: {error})"


def _describe_death(error: ChildDied, limits: ParserLimits) -> str:
    if error.exit_code == -signal.SIGXCPU:
        return f"took more than {limits.cpu_s} s of processor time to read"
    return (
        f"crashed its parser, which {describe_exit(error.exit_code)}: "
        f"it is damaged, or needs more than {limits.memory_bytes >> 20:,} MiB of memory"
    )
