"""What a scheduler needs of those who run batches: workers of this machine (``embedd.pool``) or servers
elsewhere (``embedd.remote.pool``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from embedd.batches import BatchLimits, Forward
from embedd.encoding import Encoding
from embedd.lanes import Lane
from embedd.token_vectors import TokenDtype


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """``loading`` until a worker is there for the first time or again, ``failed`` while none will start,
    ``stalled`` while every worker that is there is late with its work.
    """

    state: Literal["loading", "ready", "stalled", "failed"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker made of a batch: ``rows`` (n, dim), of which those in ``bad`` are not finite.

    ``tokens``: for each input its token vectors (t, token_dim), if asked for. ``began``: when the worker had
    nothing else before it, on the loop's clock. ``seconds``: the forward.
    """

    rows: npt.NDArray[np.float32]
    bad: frozenset[int]
    tokens: Sequence[npt.NDArray[Any]]
    began: float
    seconds: float


class Runner(Protocol):
    """One who runs batches."""

    @property
    def limits(self) -> BatchLimits:
        """What a batch may hold."""

    @property
    def forward(self) -> Forward:
        """How it runs one."""

    async def run(
        self, place: Any, inputs: Sequence[Encoding], token_dtype: TokenDtype | None = None
    ) -> Answer:
        """The model's answer to n inputs, with the vectors of all their tokens if ``token_dtype`` is given.

        Raises:
            CallFailed: they do not fit into memory together.
            InputRefused: one of them, or all of them together, is not taken.
            BatchLost: it was lost, and the batch may run elsewhere.
        """


class Place(Protocol):
    """A place in the line of ``replica``, for one batch of ``tokens`` out of ``lane``."""

    tokens: int
    lane: Lane

    @property
    def replica(self) -> Runner:
        """Who runs it."""


class Places(Protocol):
    """All who run a model's batches."""

    @property
    def status(self) -> ModelStatus:
        """Whether there is any."""

    @property
    def hello(self) -> Mapping[str, Any]:
        """What one of them said of itself; empty before the first."""

    @property
    def tokens_per_s(self) -> float:
        """How fast batches have been coming back lately."""

    @property
    def restart_s(self) -> float:
        """How long one that was lost is expected to be away."""

    @property
    def pids(self) -> list[int]:
        """The process ids of those on this machine."""

    @property
    def live(self) -> int:
        """How many there are now."""

    async def wait_ready(self) -> None:
        """Returns when there is one; raises ``ModelUnavailable`` if there will be none."""

    def check(self) -> None:
        """Raises ``ModelUnavailable`` while there is none and none will come."""

    async def acquire(self) -> Place:
        """Waits for one that should be handed its next batch now; give the place back with ``release``.

        Raises:
            ModelUnavailable: there is none; the message says why.
            Overloaded: none takes anything now.
        """

    def release(self, place: Any) -> None:
        """Give back a place that ``acquire`` gave."""
