"""What the project has set itself to reach, beside what was measured. Pure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from harness.report import print_table


@dataclass(frozen=True, slots=True)
class Goal:
    """``value`` should be at least or at most ``bound``; both as numbers of ``unit`` (``%`` of shares)."""

    name: str
    value: float
    kind: Literal["at least", "at most"]
    bound: float
    unit: str = ""

    @property
    def is_met(self) -> bool:
        return self.value >= self.bound if self.kind == "at least" else self.value <= self.bound

    def as_figure(self) -> dict[str, Any]:
        """For the result file."""
        return asdict(self) | {"met": self.is_met}


def print_goals(goals: Sequence[Goal]) -> None:
    """One line per goal."""
    rows = [[goal.name, *row_of(goal.as_figure())] for goal in goals]
    print_table("what is to be reached", ["figure", "measured", "to be", "met"], rows)


def row_of(goal: dict[str, Any]) -> list[str]:
    """Measured, wanted and whether it is met, of a goal as it stands in a result file."""
    measured, bound = (in_unit(goal[name], goal["unit"]) for name in ("value", "bound"))
    return [measured, f"{goal['kind']} {bound}", "yes" if goal["met"] else "no"]


def in_unit(value: float, unit: str) -> str:
    """A number with as many digits as say something."""
    if unit == "%":
        return f"{value:.1%}"
    if 0 < abs(value) < 1e-3:
        digits = f"{value:.1e}"
    else:
        digits = f"{value:.6g}" if 0.99 < value < 1.01 else f"{value:.3g}"
    return f"{digits} {unit}".rstrip()
