"""Language models for speed: the shape of Qwen2.5-0.5B with random weights, as folders.

Speed does not depend on the values, but what is guessed right does. So the weights are made to copy: the head
takes the embedding of a token for that of the next one in its block, and the layers between are too faint to
change that. An answer runs round and round the block that its prompt ends in.
"""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, Qwen2Config

BLOCK = 64
"""Tokens that follow each other round and round."""

_SHAPE: dict[str, Any] = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
    "rope_theta": 1_000_000.0,
}
_TINY: dict[str, Any] = {
    "vocab_size": 1024,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}
LAYERS, VOCAB = 24, 151_936


def write_model(folder: Path, layers: int, vocab: int) -> None:
    """The shape of Qwen2.5-0.5B, but for ``layers``, ``vocab`` and a head that is not tied; bfloat16."""
    _write(folder, Qwen2Config(**_SHAPE, num_hidden_layers=layers, vocab_size=vocab), copies=True)


def write_tiny_model(folder: Path) -> None:
    """A model whose steps take a millisecond or two."""
    _write(folder, Qwen2Config(**_TINY), copies=False)


def following(token: int) -> int:
    """What the model says behind ``token``."""
    return token + 1 if (token + 1) % BLOCK else token + 1 - BLOCK


def _write(folder: Path, config: Qwen2Config, *, copies: bool) -> None:
    torch.manual_seed(1)
    model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)  # type: ignore[no-untyped-call]
    if copies:
        with torch.no_grad():
            embeddings = model.get_input_embeddings().weight.normal_()
            order = torch.tensor([following(token) for token in range(config.vocab_size)])
            model.get_output_embeddings().weight[order] = embeddings
    model.save_pretrained(folder)


def shapes_of(folder: Path) -> list[tuple[int, int]]:
    """Of every matrix that a step reads, (outputs, inputs): those of the layers, then the head."""
    config = json.loads((folder / "config.json").read_bytes())
    hidden, wide, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    narrow = config["num_key_value_heads"] * (hidden // heads)
    layer = [(hidden, hidden), (narrow, hidden), (narrow, hidden), (hidden, hidden)]
    layer += [(wide, hidden), (wide, hidden), (hidden, wide)]
    layers: int = config["num_hidden_layers"]
    return [*layer * layers, (config["vocab_size"], hidden)]
