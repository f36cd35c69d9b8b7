"""A language model of which one can say what it will write: what comes next depends on the last token alone.

Its layers add nothing, its hidden state is the last token, and its head is a table of preferences: by them it
says a word and ends, and where a grammar leaves it a choice it closes what is open. So answers under a
grammar come to an end, as those of a model do that was trained.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from chat_templates import QWEN_TOOLS
from language_tokenizers import byte_level
from transformers import LlamaConfig, LlamaForCausalLM

END: Final = "<|im_end|>"
CONTEXT: Final = 4096
_HEADS: Final = 4
# What it likes to say anywhere, and what it likes better behind some tokens.
_ANYWHERE: Final[Mapping[str, float]] = {'"': 5, END: 4.8, "}": 4, "]": 3.5}
_BEHIND: Final[Mapping[str, Mapping[str, float]]] = {
    "\u010a": {"h": 8},  # a line's end, as byte-level tokenizers write it
    "h": {"a": 8},
    "a": {END: 10, '"': 9},
    '"': {"a": 8},
    ":": {"3": 6},
    "{": {"}": 9},
    "\u0120": {"3": 6},  # a blank
}


def make_bigram_model(folder: Path) -> Path:
    """Writes the model into ``folder``, with a tokenizer and a template that knows of tools."""
    tokenizer = byte_level()
    ids = _ids(tokenizer)
    size = -(-(max(ids.values()) + 1) // (2 * _HEADS)) * 2 * _HEADS
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=size,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=_HEADS,
        num_key_value_heads=1,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=ids[END],
        pad_token_id=None,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for weight in model.model.layers.parameters():
            weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(size))
        model.lm_head.weight.copy_(_preferences(ids, size).T / size**0.5)
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(tokenizer)
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": END, "chat_template": QWEN_TOOLS}))
    return folder


def _ids(tokenizer: str) -> dict[str, int]:
    read = json.loads(tokenizer)
    return {**read["model"]["vocab"], **{token["content"]: token["id"] for token in read["added_tokens"]}}


def _preferences(ids: Mapping[str, int], size: int) -> torch.Tensor:
    """The logits (size, size) behind each token."""
    table = torch.full((size, size), -5.0)
    for token, liking in _ANYWHERE.items():
        table[:, ids[token]] = liking
    for before, likings in _BEHIND.items():
        for token, liking in likings.items():
            table[ids[before], ids[token]] = liking
    return table
