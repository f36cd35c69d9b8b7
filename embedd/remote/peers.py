"""What a server elsewhere is to this service, whatever it speaks: it says what it has, and runs batches.

``tei`` and ``openai`` are read over HTTP; services of our own bring their client along, which ``api`` makes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from embedd.encoding import Encoding, Token
from embedd.lanes import Lane
from embedd.model_files import Activation
from embedd.specs import ModelKind
from embedd.token_vectors import TokenDtype
from embedd.tokenizer_file import TokenizerFile

Numbers = npt.NDArray[np.float32]

NO_LIMIT = 2**31


@dataclass(frozen=True, slots=True)
class Facts:
    """What a server says of its model.

    ``model`` is its name there. ``max_tokens`` is None where that is not told, as are ``dtype``,
    ``revision`` and ``sha256`` where they are empty. A batch has ``max_batch_tokens`` and ``max_inputs`` at
    most. A server that reads token ids hands out its ``tokenizer``; one that reads texts ``tokenizes`` them
    for others, or not. ``probe`` is the vector (dim,) of a fixed text, or the score (1,) of a fixed pair:
    servers of one model agree on it. None where ``sha256`` tells more.
    """

    kind: ModelKind
    model: str
    dim: int
    probe: Numbers | None = None
    max_tokens: int | None = None
    normalized: bool = False
    pooling: str = ""
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    activation: Activation = "identity"
    revision: str = ""
    sha256: str = ""
    dtype: str = ""
    device: str = ""
    max_batch_tokens: int = 16_384
    max_inputs: int = NO_LIMIT
    tokenizer: TokenizerFile | Literal["fake"] | None = None
    tokenizes: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """The answer to a batch: ``rows`` (n, dim), for each input its token vectors (t, token_dim) if asked
    for, and how many tokens wait there, None where that is not told.
    """

    rows: Numbers
    tokens: Sequence[npt.NDArray[Any]] = ()
    waiting_tokens: int | None = None


class Peer(Protocol):
    """One server. Whatever is asked of it, it

    Raises:
        UpstreamError: it does not answer as it should.
        Overloaded: it takes nothing now.
    """

    @property
    def url(self) -> str:
        """Where it is."""

    async def describe(self) -> Facts:
        """What it has; raises ``ModelLoadError`` if that is not what was asked for."""

    async def check(self) -> None:
        """Returns if it can answer."""

    async def run(self, inputs: Sequence[Encoding], lane: Lane, token_dtype: TokenDtype | None) -> Told:
        """The model's answer to ``inputs``; raises ``CallFailed`` if they do not fit into its memory."""

    async def tokenize(self, texts: Sequence[str], *, special: bool) -> list[list[Token]]:
        """The tokens of each text, where it ``tokenizes``."""

    async def decode(self, ids: Sequence[int], *, skip_special: bool) -> str:
        """The text of token ids, where it ``tokenizes``."""
