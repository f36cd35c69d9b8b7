"""Everything that can go wrong in ``embedd``: one tree, free of HTTP.

::

    EmbeddError
    ├── InvalidInput        the texts cannot be embedded, or the prompt not answered, as asked
    │   ├── NotFinite       the model's answer to one of them is not a number
    │   ├── InputRefused    the server that has the model does not take one of them
    │   ├── NoTokenVectors  the vectors of single tokens are not to be had from where the model is
    │   ├── PromptTooLong   a conversation and its answer do not fit into the model's context
    │   └── InvalidGrammar  a schema or grammar that an answer should have cannot be used
    ├── OutOfMemory         one of them alone does not fit into the device's memory
    ├── UnknownModel        no model of that name is configured
    ├── ModelLoadError      weights missing, checksum wrong, not an embedding model
    ├── ModelUnavailable    no live replica now
    │   └── WorkerDied      the replica died, or hung and was killed, with the request
    ├── Overloaded          admission refused the whole request
    ├── DeadlineExceeded    the caller's time was up first
    ├── UpstreamError       a generator elsewhere did not answer
    │   ├── UpstreamRefused      it does not take the request
    │   ├── UpstreamUnavailable  it is down or overloaded
    │   ├── UpstreamTimedOut     it said nothing for too long
    │   └── UpstreamFailed       it answered what makes no sense, or does not let this service in
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
    """What the caller sent cannot be embedded or answered as asked; the message names the input at fault."""


class NotFinite(InvalidInput):
    """The model has no finite answer to input ``index`` of the request, not even in full precision."""

    def __init__(self, index: int) -> None:
        self.index = index
        super().__init__(f"input {index} has no finite embedding")


class InputRefused(InvalidInput):
    """The server that has the model does not take input ``index`` of the request, for ``reason``."""

    def __init__(self, index: int, reason: str) -> None:
        self.index = index
        self.reason = reason
        super().__init__(f"input {index} was refused: {reason}")


class NoTokenVectors(InvalidInput):
    """The model is elsewhere, where nobody gives the vectors of single tokens."""


class PromptTooLong(InvalidInput):
    """The prompt, with what may be answered to it, has more tokens than the model's context."""


class InvalidGrammar(InvalidInput):
    """The schema or grammar that an answer should have is not valid, or more than can be followed."""


class OutOfMemory(EmbeddError):
    """Input ``index`` of the request does not fit into the memory of the model's device, even alone."""

    def __init__(self, index: int) -> None:
        self.index = index
        super().__init__(f"input {index} does not fit into the memory of the model's device, even alone")


class UnknownModel(EmbeddError):
    """There is no model of that name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(known)
        super().__init__(f"unknown model {name!r}; there are: {', '.join(self.known) or 'none'}")


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


class UpstreamError(EmbeddError):
    """A generator elsewhere did not answer as it should."""


class UpstreamRefused(UpstreamError):
    """It does not take the request; its reason is in the message."""


class UpstreamUnavailable(UpstreamError):
    """It cannot be reached, or is overloaded; trying again after ``retry_after_s`` may help."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class UpstreamTimedOut(UpstreamError):
    """It said nothing for longer than it may."""


class UpstreamFailed(UpstreamError):
    """What it said is not in OpenAI's dialect, breaks off, or refuses this service's own key."""


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


def of_input(error: NotFinite | InputRefused | OutOfMemory, index: int) -> EmbeddError:
    """The same said of input ``index``."""
    if isinstance(error, InputRefused):
        return InputRefused(index, error.reason)
    return type(error)(index)


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
