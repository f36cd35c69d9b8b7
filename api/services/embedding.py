"""What every route that embeds settles around the model: what it takes, which lane, prompt and dimensions.

Knows the model's card and no HTTP.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from api.errors import InvalidRequest, WrongShape
from api.services.limits import refuse_more
from embedd.lanes import Lane
from embedd.specs import ModelCard
from embedd.token_vectors import normalise

_INTERACTIVE_TEXTS = 8
"""Requests of more texts than this are bulk work: they must not hold up a person who waits for a search."""

_INPUT_TYPES = {
    "query": "query",
    "search_query": "query",
    "document": "document",
    "search_document": "document",
    "passage": "document",
    "classification": "",
    "clustering": "",
}
"""What clients of Cohere and NVIDIA call the uses of a text, and the prompt that is for it; none for ""."""

Inputs = str | Sequence[str | int | Sequence[int]]


def read_inputs(value: Inputs, limit: int, param: str) -> list[str | Sequence[int]]:
    """The texts and token ids in ``value``, which may be a single one of either.

    Raises:
        InvalidRequest: there is none.
        WrongShape: single ids stand among texts or among lists of ids.
        PayloadTooLarge: there are more than ``limit``.
    """
    if isinstance(value, str):
        return [value]
    if not value:
        raise InvalidRequest(f"`{param}` is empty: send at least one input", param=param)
    ids = [one for one in value if isinstance(one, int)]
    if ids:
        if len(ids) < len(value):
            raise WrongShape(f"`{param}` mixes token ids with texts or with lists of ids", param=param)
        return [ids]
    refuse_more(len(value), limit, param)
    return [one for one in value if not isinstance(one, int)]


def read_ids(value: Sequence[int | Sequence[int]], limit: int, param: str) -> list[Sequence[int]]:
    """The lists of token ids in ``value``, which may be a single one; raises as ``read_inputs`` does."""
    return [one for one in read_inputs(value, limit, param) if not isinstance(one, str)]


def lane_of(inputs: int) -> Lane:
    """The lane of a request with so many inputs."""
    return Lane.INTERACTIVE if inputs <= _INTERACTIVE_TEXTS else Lane.BULK


def prompt_of(card: ModelCard, name: str | None, input_type: str | None) -> str:
    """What goes in front of each text: the prompt of that name, else that for texts of this use,
    else the model's default one.

    Raises:
        InvalidRequest: the model has no such prompt.
    """
    if name is None and input_type is not None:
        return typed_prompt(card, input_type)
    return named_prompt(card, name)


def named_prompt(card: ModelCard, name: str | None) -> str:
    """The model's own prompt of that name, its default one for None.

    Raises:
        InvalidRequest: the model has no prompt of that name.
    """
    if name is None:
        return card.prompts.get(card.default_prompt_name or "", "")
    if name not in card.prompts:
        known = ", ".join(sorted(card.prompts)) or "none"
        raise InvalidRequest(
            f"model {card.name!r} has no prompt {name!r}; it has: {known}", param="prompt_name"
        )
    return card.prompts[name]


def typed_prompt(card: ModelCard, input_type: str) -> str:
    """The model's own prompt for texts of this use: one of its prompts' names, or a word of other services.

    Raises:
        InvalidRequest: it is neither, so that a misspelt one would go unnoticed.
    """
    if input_type in card.prompts:
        return card.prompts[input_type]
    if input_type not in _INPUT_TYPES:
        known = ", ".join(sorted({*card.prompts, *_INPUT_TYPES}))
        raise InvalidRequest(f"`input_type` is {input_type!r}; known are: {known}", param="input_type")
    return card.prompts.get(_INPUT_TYPES[input_type], "")


def check_dimensions(card: ModelCard, dimensions: int | None) -> None:
    """Raises ``InvalidRequest`` unless the model's vectors can be cut to ``dimensions``."""
    if dimensions is not None and not 1 <= dimensions <= card.dim:
        raise InvalidRequest(
            f"`dimensions` is {dimensions}, model {card.name!r} has 1 to {card.dim}", param="dimensions"
        )


def fit(
    card: ModelCard, vectors: npt.NDArray[np.float32], dimensions: int | None, *, normalize: bool
) -> npt.NDArray[np.float32]:
    """The first ``dimensions`` values of each row (n, dim); at length one (again) if ``normalize``.

    Matryoshka representation learning, arXiv 2205.13147.
    """
    short = vectors[:, :dimensions]
    changed = dimensions is not None or not card.normalized
    return normalise(short) if normalize and changed else short


def cosines(vectors: npt.NDArray[np.float32]) -> list[float]:
    """The cosine of the first row (1 + n, dim) to each of the others, in [-1, 1]."""
    first, *_ = unit = normalise(vectors)
    similar: list[float] = np.clip(unit[1:] @ first, -1.0, 1.0).tolist()
    return similar
