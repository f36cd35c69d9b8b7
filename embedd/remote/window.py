"""How many batches a server should have at once, found out by how long it takes for them.

Pure: times come from the caller. After TCP Vegas: what an answer takes longer than the best of its size did
was spent in the server's queue; a little of that keeps it busy, more only makes people wait.

Brakmo, O'Malley and Peterson, "TCP Vegas: New techniques for congestion detection and avoidance", SIGCOMM
1994.
"""

_FIRST = 2
_MOST = 16
_TOO_FEW, _TOO_MANY = 1.5, 4.0
"""Batches that wait there for others of ours."""

_FORGET = 1.01
"""The best is forgotten slowly, for a server that has got slower; not while many are under way, who all wait
for each other: that would look like the best there is.
"""


class Window:
    """``size`` batches may be under way."""

    def __init__(self) -> None:
        self.size = _FIRST
        self._best: dict[int, float] = {}

    def add(self, tokens: int, seconds: float, *, full: bool) -> None:
        """A batch of so many tokens took so long; ``full``: as many as may be were under way."""
        size = tokens.bit_length()
        forget = _FORGET if self.size <= _TOO_MANY else 1.0
        best = min(self._best.get(size, seconds) * forget, seconds)
        self._best[size] = best
        queued = self.size * (1 - best / seconds) if seconds > 0 else 0.0
        if queued > _TOO_MANY:
            self.size = max(_FIRST, self.size - 1)
        elif queued < _TOO_FEW and full:
            self.size = min(_MOST, self.size + 1)

    def halve(self) -> None:
        """It would not take as many."""
        self.size = max(1, self.size // 2)
