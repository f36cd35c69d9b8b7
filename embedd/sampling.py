"""How a model chooses its tokens, and what form its answer must have."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a request says of it; None is left to the model's own defaults.

    ``temperature`` 0 is greedy, ``top_k`` 0 means all. Penalties are those of OpenAI and vLLM;
    ``logit_bias`` is by token id.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    logit_bias: Mapping[int, float] | None = None

    @property
    def given(self) -> dict[str, Any]:
        """All that is not left out, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """The answer must be any JSON object, or one that ``schema`` allows."""

    kind: Literal["json_object", "json_schema"]
    name: str = ""
    schema: Mapping[str, Any] | None = None
    strict: bool = False
