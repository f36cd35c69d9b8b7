"""Shows how ingestion gets on: a bar where a person looks, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from api.cli.ingestion import Tally

_SECONDS_BETWEEN_LINES = 5.0


class Display(Protocol):
    """Something that is shown while it is entered, and told of every step."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def show(self, tally: Tally) -> None: ...


def display(console: Console, documents: int, size_bytes: int) -> Display:
    """The fitting display for ``documents`` files of ``size_bytes`` altogether."""
    if console.is_terminal:
        return Bar(console, documents, size_bytes)
    return Lines(console, documents)


class Bar:
    """Documents, passages, passages per second and the time left, which is guessed from the bytes."""

    def __init__(self, console: Console, documents: int, size_bytes: int) -> None:
        self._began = time.monotonic()
        self._progress = Progress(
            BarColumn(),
            TextColumn("{task.fields[documents]} of {task.fields[all]} documents"),
            TextColumn("{task.fields[passages]} passages, {task.fields[rate]}/s"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task(
            "", total=max(size_bytes, 1), all=documents, documents=0, passages=0, rate=0
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, tally: Tally) -> None:
        self._progress.update(
            self._task,
            completed=tally.size_bytes,
            documents=tally.documents,
            passages=tally.passages,
            rate=_rate(tally, self._began),
        )


class Lines:
    """A line every few seconds, for logs and pipes."""

    def __init__(self, console: Console, documents: int) -> None:
        self._console = console
        self._documents = documents
        self._began = self._spoke = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing stays on the screen."""

    def show(self, tally: Tally) -> None:
        now = time.monotonic()
        if now - self._spoke < _SECONDS_BETWEEN_LINES and tally.documents < self._documents:
            return
        self._spoke = now
        self._console.print(
            f"{tally.documents} of {self._documents} documents, "
            f"{tally.passages} passages, {_rate(tally, self._began)}/s",
            soft_wrap=True,
        )


def _rate(tally: Tally, began: float) -> int:
    return round(tally.passages / max(time.monotonic() - began, 1e-3))
