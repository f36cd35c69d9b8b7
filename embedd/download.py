"""One model's files out of a bucket into a folder: in segments, several at once, each once.

A file grows in ``<name>.part``; a line in ``<name>.done`` says which of its segments are whole, for who goes
on with it. Bytes are on disk before anything says that they are there, since there may be no sums; where
there are, they have the last word, on files of before as well. An ETag only tells that a file is still the
one that was listed: it is no sum of a file that was written in parts, or that the bucket encrypts.
"""

import os
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from embedd.bucket import Bucket, BucketLimits, Changed
from embedd.errors import ModelLoadError
from embedd.manifest import Entry, sha256_of

SEGMENT_BYTES: Final = 32 * 2**20
_PAUSE_S: Final = 0.2


class Stopped(ModelLoadError):
    """Nobody waits for the files any more; what is there stays for the next time."""


@dataclass(slots=True)
class Progress:
    """How far files are, told by threads; ``total_bytes`` is None until that is known."""

    total_bytes: int | None = None
    done_bytes: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_complete(self) -> bool:
        """Whether all bytes are here."""
        return self.total_bytes is not None and self.done_bytes >= self.total_bytes

    def add(self, count: int) -> None:
        """``count`` more bytes are here; fewer, if some were none.

        Raises:
            Stopped: nobody waits for them.
        """
        with self._lock:
            self.done_bytes += count
        if self.stopped.is_set():
            raise Stopped("the files are not needed any more")


@dataclass(frozen=True, slots=True)
class _Segment:
    entry: Entry
    number: int
    part: Path

    @property
    def first(self) -> int:
        return self.number * SEGMENT_BYTES

    @property
    def last(self) -> int:
        return min(self.first + SEGMENT_BYTES, self.entry.size)


def download(
    bucket: Bucket, entries: Sequence[Entry], folder: Path, limits: BucketLimits, progress: Progress
) -> list[Entry]:
    """``entries`` as files in ``folder``, in which some may be by now; gives them with their sums.

    Raises:
        ModelLoadError: a file cannot be had, or is not what its sum says; nothing of that one is left then.
        OSError: it cannot be written.
    """
    waiting = deque(segment for entry in entries for segment in _missing(entry, folder, progress))
    _beside(waiting, bucket, limits, progress)
    return [_verified(bucket, entry, folder, progress) for entry in entries]


def missing_bytes(entries: Sequence[Entry], folder: Path) -> int:
    """How much of ``entries`` is not in ``folder``."""
    segments = [segment for entry in entries for segment in _missing(entry, folder, Progress())]
    return sum(segment.last - segment.first for segment in segments)


def _missing(entry: Entry, folder: Path, progress: Progress) -> list[_Segment]:
    """What is left to fetch; the rest counts as progress."""
    if (folder / entry.path).exists():
        progress.add(entry.size)
        return []
    part = folder / f"{entry.path}.part"
    done = _done(part)
    segments = [_Segment(entry, number, part) for number in range(-(-entry.size // SEGMENT_BYTES))]
    progress.add(sum(each.last - each.first for each in segments if each.number in done))
    return [segment for segment in segments if segment.number not in done]


def _done(part: Path) -> set[int]:
    """The segments of ``part`` that are whole."""
    try:
        lines = part.with_suffix(".done").read_text("ascii").splitlines(keepends=True)
    except FileNotFoundError:
        return set()
    return {int(line) for line in lines if line.endswith("\n") and part.exists()}


def _beside(waiting: deque[_Segment], bucket: Bucket, limits: BucketLimits, progress: Progress) -> None:
    """Fetches all that waits; raises the first error there is.

    The threads hold up nobody: a process that ends takes them along, however long a bucket is silent.
    """
    errors: list[Exception] = []

    def work() -> None:
        while waiting and not errors:
            try:
                segment = waiting.popleft()
            except IndexError:
                return
            try:
                _fetch(bucket, segment, limits, progress)
            except Exception as error:  # noqa: BLE001 - raised where they are waited for
                errors.append(error)

    threads = [
        threading.Thread(target=work, name="model-download", daemon=True) for _ in range(limits.parallel)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _fetch(bucket: Bucket, segment: _Segment, limits: BucketLimits, progress: Progress) -> None:
    """One segment, from where its last attempt broke off."""
    where, at = f"{bucket.uri}/{segment.entry.path}", segment.first
    problem = ModelLoadError(f"{where} breaks off")
    segment.part.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(segment.part, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        for attempt in range(limits.attempts):
            try:
                for piece in bucket.pieces(segment.entry, at, segment.last):
                    write_at(file, piece[: segment.last - at], at)
                    at += len(piece)
                    progress.add(len(piece))
            except (Changed, Stopped):
                raise
            except ModelLoadError as error:
                problem = error
            if at >= segment.last:
                os.fsync(file)
                _mark(segment)
                return
            progress.stopped.wait(_PAUSE_S * 2**attempt)
    finally:
        os.close(file)
    raise ModelLoadError(
        f"{where} could not be fetched beyond byte {at} of {segment.entry.size}: {problem}"
    ) from problem


def write_at(file: int, content: bytes, offset: int) -> None:
    """All of ``content``; raises ``OSError``, ENOSPC for a full disk."""
    while content:
        written = os.pwrite(file, content, offset)
        content, offset = content[written:], offset + written


def _mark(segment: _Segment) -> None:
    with segment.part.with_suffix(".done").open("a", encoding="ascii") as file:
        file.write(f"{segment.number}\n")


def _verified(bucket: Bucket, entry: Entry, folder: Path, progress: Progress) -> Entry:
    """The file in its place, with its sum."""
    path = folder / entry.path
    part = folder / f"{entry.path}.part"
    whole = path if path.exists() else part
    whole.parent.mkdir(parents=True, exist_ok=True)
    whole.touch()  # an empty one has no segments
    found = sha256_of(whole)
    if whole.stat().st_size != entry.size or entry.sha256 not in (None, found):
        whole.unlink()
        part.with_suffix(".done").unlink(missing_ok=True)
        raise ModelLoadError(
            f"{bucket.uri}/{entry.path} is not what it should be: sha256 {found}, not {entry.sha256}"
        )
    if whole is part:
        part.replace(path)
        part.with_suffix(".done").unlink(missing_ok=True)
    progress.add(0)
    return Entry(entry.path, entry.size, found)
