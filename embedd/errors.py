"""Everything that can go wrong in ``embedd``: one tree, free of HTTP.

::

    EmbeddError
    ├── InvalidInput        the texts cannot be embedded as asked
    │   └── NotFinite       the model's answer to one of them is not a number
    ├── OutOfMemory         one of them alone does not fit into the device's memory
    ├── UnknownModel        no model of that name is configured
    ├── ModelLoadError      weights missing, checksum wrong, not an embedding model
    ├── ModelUnavailable    no live replica now
    │   └── WorkerDied      the replica died, or hung and was killed, with the request
    ├── Overloaded          admission refused the whole request
    ├── DeadlineExceeded    the caller's time was up first
    └── ChildError          a child process did not answer a call
        ├── ChildDied       it ended, or was killed
        ├── ChildTimedOut   it took too long and was killed
        ├── CallFailed      its handler raised
        └── BatchLost       a worker was lost with a batch it had been handed
"""

import signal
from collections.abc import Iterable


class EmbeddError(Exception):
    """The root of the tree."""


class InvalidInput(EmbeddError):
    """The caller's texts cannot be embedded as asked; the message names the index of the input."""


class NotFinite(InvalidInput):
    """The model has no finite answer to input ``index`` of the request, not even in full precision."""

    def __init__(self, index: int) -> None:
        self.index = index
        super().__init__(f"input {index} has no finite embedding")


class OutOfMemory(EmbeddError):
    """Input ``index`` of the request does not fit into the memory of the model's device, even alone."""

    def __init__(self, index: int) -> None:
        self.index = index
        super().__init__(f"input {index} does not fit into the memory of the model's device, even alone")


class UnknownModel(EmbeddError):
    """No model of that name is configured."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(known)
        super().__init__(f"unknown model {name!r}; configured: {', '.join(self.known) or 'none'}")


class ModelLoadError(EmbeddError):
    """The model's files are missing, damaged, or hold no embedding model."""


class ModelUnavailable(EmbeddError):
    """No live replica can take the request now; trying again after ``retry_after_s`` may help."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class WorkerDied(ModelUnavailable):
    """The replica that held the request died and the request was not, or not successfully, retried."""


class Overloaded(EmbeddError):
    """Too much is waiting already; nothing of the request was started."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class DeadlineExceeded(EmbeddError):
    """The caller's deadline passed before the answer was there."""


class ChildError(EmbeddError):
    """A child process did not answer a call."""


class ChildDied(ChildError):
    """The child ended before it answered; ``exit_code`` is negative for a signal, None where unknown."""

    def __init__(self, name: str, exit_code: int | None) -> None:
        self.exit_code = exit_code
        super().__init__(f"{name} {describe_exit(exit_code)}")


class ChildTimedOut(ChildError):
    """The child took longer than the caller allowed and was killed."""

    def __init__(self, name: str, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        super().__init__(f"{name} did not answer within {timeout_s:g} s and was killed")


class CallFailed(ChildError):
    """The child's handler raised; ``kind`` is the name of the exception's class."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message or kind)


class BatchLost(ChildError):
    """A worker was lost with a batch in its line, which it had begun to run (``began``) or not."""

    def __init__(self, reason: str, *, began: bool) -> None:
        self.began = began
        super().__init__(reason)


def describe_exit(exit_code: int | None) -> str:
    """What became of a process, for people: ``was killed by SIGKILL``, ``ended with exit code 1``."""
    if exit_code is None:
        return "is gone"
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        return f"was killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was killed by signal {-exit_code}"
