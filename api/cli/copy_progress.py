"""Shows how a copy gets on: a line for each collection every few seconds, and when it has caught up."""

import time
from typing import Final

from rich.console import Console

from index.copying.collection import Step

_SECONDS_BETWEEN_LINES: Final = 2.0


class Progress:
    """Counts the steps of each collection."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._name = ""
        self._documents = self._passages = 0
        self._began = self._spoke = time.monotonic()

    def step(self, step: Step) -> None:
        """Something was written."""
        now = time.monotonic()
        if step.name != self._name:
            self._name, self._documents, self._passages, self._began = step.name, 0, 0, now
        self._documents += step.documents
        self._passages += step.passages
        if now - self._spoke >= _SECONDS_BETWEEN_LINES or step.behind == 0:
            self._spoke = now
            self.say(self._line(step, now))

    def say(self, line: str) -> None:
        """A line of its own."""
        self._console.print(line, soft_wrap=True)

    def _line(self, step: Step, now: float) -> str:
        rate = round(self._passages / max(now - self._began, 1e-3))
        counted = f"{step.name}: {self._documents:,} documents written, {rate:,} rows/s"
        return counted if step.behind is None else f"{counted}, behind by {step.behind:,} changes"
