"""What the files of a language model say: which class it is, its defaults, its tokens that end an answer.

Knows transformers' file formats and nothing of weights. What a model can hold is its worker's to say.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedd.errors import ModelLoadError
from embedd.generation.fake_model import END_OF_TURN, FAKE_TEMPLATE, fake_tokenizer
from embedd.generation.template import ChatTemplate, read_template
from embedd.model_json import read_object, read_text
from embedd.sampling import Sampling

_DEFAULTS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


@dataclass(frozen=True, slots=True)
class LanguageFiles:
    """A model as the service needs it: ``tokenizer`` is its tokenizer.json, ``stop_ids`` end an answer."""

    tokenizer: str
    template: ChatTemplate | None
    stop_ids: tuple[int, ...]
    defaults: Sampling


def read_language_files(folder: Path, template: Path | None) -> LanguageFiles:
    """The files of the model in ``folder``; ``template`` is for one that has none.

    Raises:
        ModelLoadError: a file is missing or broken, or this is no causal language model.
    """
    config = read_object(folder / "config.json")
    architectures = config.get("architectures") or ["model of no known class"]
    if not str(architectures[0]).endswith("ForCausalLM"):
        raise ModelLoadError(f"{folder} holds a {architectures[0]}, and only causal language models can chat")
    generation = read_object(folder / "generation_config.json", optional=True)
    tokenizer = read_text(folder / "tokenizer.json")
    return LanguageFiles(
        tokenizer=tokenizer,
        template=read_template(folder, template),
        stop_ids=tuple(dict.fromkeys(_stop_ids(folder, config, generation, tokenizer))),
        defaults=Sampling(
            **{name: generation[name] for name in _DEFAULTS if generation.get(name) is not None}
        ),
    )


def fake_language_files() -> LanguageFiles:
    """Those of the model without weights."""
    template = ChatTemplate({"default": FAKE_TEMPLATE}, {})
    return LanguageFiles(fake_tokenizer(), template, (END_OF_TURN,), Sampling())


def _stop_ids(
    folder: Path, config: Mapping[str, Any], generation: Mapping[str, Any], tokenizer: str
) -> Iterator[int]:
    """What the settings for generation call the end, else the model's, and the tokenizer's own."""
    ids = generation.get("eos_token_id", config.get("eos_token_id"))
    yield from ids if isinstance(ids, list) else [] if ids is None else [ids]
    token = read_object(folder / "tokenizer_config.json", optional=True).get("eos_token")
    text = token.get("content") if isinstance(token, dict) else token
    yield from (one["id"] for one in json.loads(tokenizer)["added_tokens"] if one["content"] == text)
