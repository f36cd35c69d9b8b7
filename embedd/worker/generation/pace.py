"""How long a step takes by its rows, learnt from steps: what a long prompt's part and a draft may cost.

On a CPU a step for eight tokens costs hardly more than one for a single token, for thirty-two it may cost
several times as much; where it bends depends on the model and the machine. So it is not modelled but noted,
at each power of two.
"""

import numpy as np

_NEWEST = 0.2
"""The weight of the latest step."""


class Pace:
    """Seconds a step, by rows."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[float, float]] = {}

    def record(self, rows: int, seconds: float) -> None:
        """Takes in a step. One that takes far longer than its like was disturbed, and counts as twice as
        long.
        """
        place = rows.bit_length()
        if place not in self._known:
            self._known[place] = float(rows), seconds
            return
        old_rows, old_seconds = self._known[place]
        seconds = min(seconds, 2 * old_seconds)
        self._known[place] = (
            old_rows + _NEWEST * (rows - old_rows),
            old_seconds + _NEWEST * (seconds - old_seconds),
        )

    def seconds(self, rows: int) -> float:
        """What a step of so many rows will take; 0 while nothing is known. Beyond what was seen, in
        proportion.
        """
        if not self._known:
            return 0.0
        seen, seconds = np.array(sorted(self._known.values())).T
        if rows > seen[-1]:
            return float(seconds[-1] * rows / seen[-1])
        return float(np.interp(rows, seen, np.maximum.accumulate(seconds)))

    def rows_within(self, limit_s: float, most: int) -> int:
        """How many rows, ``most`` at most, a step of ``limit_s`` has room for."""
        low, high = 0, most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.seconds(middle) <= limit_s else (low, middle - 1)
        return low
