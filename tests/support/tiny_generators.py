"""Small causal language models with random weights, of real architectures, and engines that run them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PhiConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
)

from embedd.worker.generation.engine import Engine, Report
from embedd.worker.generation.model import Model, Placement
from embedd.worker.generation.requests import Request
from embedd.worker.generation.scheduler import Limits

VOCAB = 300
END = 2
CONTEXT = 512
WINDOW = 40

_SHAPE = {
    "vocab_size": VOCAB,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": 1,
    "eos_token_id": END,
    "pad_token_id": 0,
}
_GEMMA = {**_SHAPE, "head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": WINDOW}


def configs() -> dict[str, PreTrainedConfig]:
    """A small config of every family that is served, by its name."""
    return {
        "llama": LlamaConfig(**_SHAPE),
        "qwen2": Qwen2Config(**_SHAPE, tie_word_embeddings=True),
        "qwen3": Qwen3Config(**_SHAPE, head_dim=40),
        "gemma": GemmaConfig(**_SHAPE, head_dim=16),
        "gemma2": Gemma2Config(**_GEMMA),
        "gemma3": Gemma3TextConfig(**_GEMMA, layer_types=["sliding_attention", "full_attention"]),
        "mistral": MistralConfig(**_SHAPE, head_dim=16, sliding_window=WINDOW),
        "phi": PhiConfig(**_SHAPE),
        "phi3": Phi3Config(**_SHAPE),
        "smollm3": SmolLM3Config(**_SHAPE),
    }


def build_generator(folder: Path, family: str = "llama", **changes: Any) -> Path:
    """A folder as transformers writes it, with a tokenizer of bytes; its weights make lively answers."""
    config = configs()[family]
    for name, value in changes.items():
        setattr(config, name, value)
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(4)
    model.save_pretrained(folder)
    write_byte_tokenizer(folder)
    return folder


def write_byte_tokenizer(folder: Path) -> None:
    """One token for each byte, behind three special ones."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    specials = ["<pad>", "<s>", "</s>"]
    vocabulary = {token: number for number, token in enumerate([*specials, *letters])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(specials)
    tokenizer.save(str(folder / "tokenizer.json"))


def open_engine(
    folder: Path, *, pages: int = 128, max_batch_tokens: int = 64, max_running: int = 64, **placement: Any
) -> Engine:
    """The engine on a CPU in float32, unless ``placement`` says otherwise."""
    model = Model(folder, Placement(**({"device": "cpu", "dtype": "float32"} | placement)))
    return Engine(model, pages, Limits(max_batch_tokens=max_batch_tokens, max_running=max_running))


def payload_of(prompt: Sequence[int], max_tokens: int = 24, **changes: Any) -> dict[str, Any]:
    """A ``generate`` call's payload: greedy; ``changes`` are its own or sampling's."""
    payload: dict[str, Any] = {
        "prompt": np.array(prompt, dtype=np.int32),
        "max_tokens": max_tokens,
        "stop_ids": [],
        "logprobs": None,
        "grammar": None,
        "speculate": False,
    }
    own = {name: changes.pop(name) for name in list(changes) if name in payload}
    return {**payload, **own, "sampling": {"temperature": 0.0} | changes}


def request_of(number: int, prompt: Sequence[int], max_tokens: int = 24, **changes: Any) -> Request:
    grammar = changes.pop("grammar", None)
    payload = payload_of(prompt, max_tokens, **changes)
    return Request.parse(number, number, payload, context=CONTEXT, grammar=grammar)


def run_all(engine: Engine, requests: Iterable[Request]) -> list[list[int]]:
    """The answers of requests that come all at once, by order; no page may be left over."""
    requests = list(requests)
    for request in requests:
        engine.add(request)
    run_steps(engine)
    engine.check()
    return [answer_of(request) for request in requests]


def run_steps(engine: Engine) -> list[Report]:
    """Runs until nothing is left to be done."""
    reports = []
    while engine.busy:
        reports.append(engine.step())
    return reports


def answer_of(request: Request) -> list[int]:
    return request.tokens[request.prompt_tokens :]


def prompts(lengths: Sequence[int], seed: int = 5) -> list[list[int]]:
    """Random tokens, none of them special."""
    generator = np.random.default_rng(seed)
    return [generator.integers(3, 259, length).tolist() for length in lengths]


def generate(folder: Path, prompt: Sequence[int], max_tokens: int, **settings: Any) -> list[int]:
    """The answer of transformers' own ``generate()`` in float32, that ends at no token."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    options: Mapping[str, Any] = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0} | settings
    answer = model.generate(torch.tensor([prompt]), max_new_tokens=max_tokens, **options)
    return answer[0, len(prompt) :].tolist()
