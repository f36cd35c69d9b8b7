"""How fast a worker has been of late. Pure: seconds and tokens come from the caller."""

UNMEASURED_TOKENS_PER_S = 10_000.0
"""What a worker is taken for before its first batch: a small model on a few CPU cores."""

_MEMORY = 0.9


class Pace:
    """The rate of the last ten batches or so, each counting by its size."""

    def __init__(self) -> None:
        self._tokens = 0.0
        self._seconds = 0.0

    @property
    def measured(self) -> bool:
        return self._seconds > 0

    @property
    def tokens_per_s(self) -> float:
        return self._tokens / self._seconds if self.measured else UNMEASURED_TOKENS_PER_S

    def add(self, tokens: int, seconds: float) -> None:
        """A batch of so many tokens took so long."""
        self._tokens = _MEMORY * self._tokens + tokens
        self._seconds = _MEMORY * self._seconds + max(seconds, 1e-6)

    def expected_s(self, tokens: int) -> float:
        """How long a batch of so many tokens should take."""
        return tokens / self.tokens_per_s
