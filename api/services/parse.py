"""Files in, text out; a file that cannot be read fails alone, with a reason that a person understands.

Text and Markdown in UTF-8 are only decoded. Everything else is read in a child process with limits on memory,
processor time, waiting time and output, because files come from anywhere: the worst one costs itself and
a new child. Knows nothing of chunks, models or collections.

Invariant: the child has one file at a time, so whatever ends it is the fault of that file.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.services.decode import UndecodableText, UnknownEncoding, decode_text
from api.services.extraction import FailureCode
from api.services.file_types import MEDIA_TYPES, SNIFFED_BYTES, FileType, UnsupportedType, detect_type
from api.services.outline import markdown_title
from embedd.child import Child, open_child
from embedd.errors import CallFailed, ChildDied, ChildTimedOut, describe_exit

_CHILD = "api.services.extraction"
_START_TIMEOUT_S = 60.0


class ParseFailed(Exception):
    """The file gives no text; the message is the reason, without the file's name."""

    def __init__(self, code: FailureCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True)
class Parsed:
    """``text`` is what all offsets count in; it is Markdown for ``MARKDOWN_TYPES``, whatever the file was.

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
        ``filename`` decides, then the content, which is heard first where it leaves no doubt. Characters are
        plain text unless said otherwise.

        Raises:
            ParseFailed: with the reason.
        """
        try:
            before = await asyncio.to_thread(_look, source)
            self._refuse_size(before.size)
            detected = detect_type(before.head, media_type, filename)
            parsed = await self._read(detected, source, password)
            if await asyncio.to_thread(_look, source) != before:
                raise ParseFailed("broken", "was changed while it was read: send it again")
        except (UnsupportedType, UndecodableText) as error:
            raise ParseFailed("unsupported", str(error)) from error
        except OSError as error:
            raise ParseFailed("broken", f"cannot be read: {error.strerror}") from error
        return parsed

    def _refuse_size(self, size: int) -> None:
        if size > self._limits.input_bytes:
            raise ParseFailed("too_large", f"has {size:,} bytes, limit {self._limits.input_bytes:,}")
        if not size:
            raise ParseFailed("empty", "is empty")

    async def _read(self, detected: FileType, source: str | bytes | Path, password: str | None) -> Parsed:
        if detected.kind in ("text", "markdown"):
            with contextlib.suppress(UnknownEncoding):  # the child guesses
                return await asyncio.to_thread(self._decode, detected, source)
        return await self._extract(detected, source, password)

    def _decode(self, detected: FileType, source: str | bytes | Path) -> Parsed:
        data = source.read_bytes() if isinstance(source, Path) else source
        text = data if isinstance(data, str) else decode_text(data, detected.charset)
        if not text or text.isspace():
            raise ParseFailed("empty", "is empty")
        most = self._limits.output_characters
        if len(text) > most:
            raise ParseFailed("too_large", f"holds more than {most:,} characters of text: split it")
        return _parsed(detected.kind, text)

    async def _extract(self, detected: FileType, source: str | bytes | Path, password: str | None) -> Parsed:
        payload = _payload(source, detected) | {"password": password}
        async with self._turn:
            reply = await self._call("read", payload)
        if reply["refused"] is not None:
            raise ParseFailed(reply["refused"], reply["reason"])
        return _parsed(reply["kind"], reply["text"], reply["title"], tuple(reply["page_starts"]))

    async def _call(self, op: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return await self._ask_child(op, payload)
        except CallFailed as error:
            raise _failure(error, self._limits) from error
        except ChildTimedOut as error:
            raise ParseFailed("too_slow", f"took longer than {error.timeout_s:g} s to read") from error
        except ChildDied as error:
            raise _failure_of_dead(error, self._limits) from error

    async def _ask_child(self, op: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            child = await self._live_child()
            return await child.call(op, payload, self._limits.timeout_s)
        except CallFailed:
            raise
        except BaseException:
            # It is dead, or nobody waits for what it is doing: the next file gets another one.
            if self._child is not None:
                self._child.kill()
            self._child = None
            raise

    async def _live_child(self) -> Child:
        """The child at hand, or a new one: at first there is none, and files may end it."""
        if self._child is None or self._child.closed.is_set():
            await self._cleanup.aclose()
            limits = self._limits
            args = (
                *("--memory-bytes", str(limits.memory_bytes), "--cpu-s", str(limits.cpu_s)),
                *("--max-bytes", str(limits.input_bytes), "--max-characters", str(limits.output_characters)),
            )
            opening = open_child(_CHILD, args, name="document parser")
            self._child = await self._cleanup.enter_async_context(opening)
            await self._child.call("ready", {}, _START_TIMEOUT_S)  # its start is not the file's time
        return self._child


@contextlib.asynccontextmanager
async def open_parser(limits: ParserLimits | None = None) -> AsyncIterator[Parser]:
    """A parser whose child starts with the first file that needs it and ends with the context."""
    async with contextlib.AsyncExitStack() as cleanup:
        yield Parser(limits or ParserLimits(), cleanup)


@dataclass(frozen=True, slots=True)
class _Look:
    """The first bytes, how many there are, and when the file was last written."""

    head: bytes
    size: int
    written_ns: int = 0


def _look(source: str | bytes | Path) -> _Look:
    """What the outside of ``source`` shows; characters are never guessed at, so they show no bytes."""
    if isinstance(source, str):
        return _Look(b"", len(source))
    if isinstance(source, bytes):
        return _Look(source[:SNIFFED_BYTES], len(source))
    with source.open("rb") as file:
        known = source.stat()
        return _Look(file.read(SNIFFED_BYTES), known.st_size, known.st_mtime_ns)


def _payload(source: str | bytes | Path, detected: FileType) -> dict[str, Any]:
    payload = {"kind": detected.kind, "path": None, "content": None, "charset": detected.charset}
    if isinstance(source, Path):
        return payload | {"path": str(source)}
    if isinstance(source, str):
        return payload | {"content": source.encode(), "charset": "utf-8"}
    return payload | {"content": source}


def _parsed(kind: Any, text: str, title: str | None = None, page_starts: tuple[int, ...] = ()) -> Parsed:
    if kind in ("markdown", "ipynb"):
        title = markdown_title(text)
    return Parsed(text, MEDIA_TYPES[kind], title, page_starts)


def _failure(error: CallFailed, limits: ParserLimits) -> ParseFailed:
    if error.kind == MemoryError.__name__:
        return _without_memory(limits)
    return ParseFailed("broken", f"could not be read ({error.kind}: {error})")


def _without_memory(limits: ParserLimits) -> ParseFailed:
    most = limits.memory_bytes >> 20
    return ParseFailed("too_much_memory", f"needs more than {most:,} MiB of memory to read")


def _failure_of_dead(error: ChildDied, limits: ParserLimits) -> ParseFailed:
    if error.exit_code == -signal.SIGXCPU:
        return ParseFailed("too_slow", f"took more than {limits.cpu_s} s of processor time to read")
    if error.exit_code == -signal.SIGABRT:  # so end the libraries in Rust and C++ that get no memory
        return _without_memory(limits)
    return ParseFailed(
        "broken",
        f"crashed its parser, which {describe_exit(error.exit_code)}: "
        f"it is damaged, or needs more than {limits.memory_bytes >> 20:,} MiB of memory",
    )
