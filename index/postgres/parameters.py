"""The values of a statement's placeholders, numbered as they come."""

from typing import Any


class Parameters:
    """What ``$1``, ``$2`` and so on stand for; begun with ``values``."""

    def __init__(self, *values: Any) -> None:
        self._values = list(values)

    def add(self, value: Any) -> str:
        """The placeholder of one more."""
        self._values.append(value)
        return f"${len(self._values)}"

    @property
    def values(self) -> tuple[Any, ...]:
        """All of them, in order."""
        return tuple(self._values)
