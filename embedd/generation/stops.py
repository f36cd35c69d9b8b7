"""Finds stop strings in a text that comes in pieces, and holds back only what may become one. Pure."""

from collections.abc import Sequence


class StopStrings:
    """Lets through what stands before the first of ``stops``, wherever the pieces are cut.

    The first is the one that is complete first; of several that end together the longest.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        assert all(stops), "an empty string stops everything"
        self._stops = tuple(stops)
        self._held = ""
        self.found: str | None = None

    def add(self, piece: str) -> str:
        """What may be said now; nothing more once ``found`` is set."""
        if self.found is not None:
            return ""
        text = self._held + piece
        ends = [(text.find(stop), stop) for stop in self._stops if stop in text]
        if ends:
            start, self.found = min(ends, key=lambda end: (end[0] + len(end[1]), end[0]))
            self._held = ""
            return text[:start]
        keep = max((beginning_of(stop, text) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> str:
        """What was held back and is no stop string after all."""
        held, self._held = self._held, ""
        return held


def beginning_of(mark: str, text: str) -> int:
    """How many characters at the end of ``text`` may be the beginning of ``mark``."""
    longest = min(len(text), len(mark) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(mark[:size])), 0)
