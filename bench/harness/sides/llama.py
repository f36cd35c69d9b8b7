"""llama.cpp by way of llama-cpp-python: the same weights as GGUF, all prompts as sequences of one context.

Its server batches the same way: what waits of all prompts goes through in batches, then every step has a
token of each. Runs in the peer's own environment, which has no torch.
"""

import ctypes
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gguf
import llama_cpp
import numpy as np

from harness.sides.serving import begin, serve

BATCH_TOKENS = 512
NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


class LlamaSide:
    """The model as llama.cpp loads it; every run has a context of its own."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self._threads = len(configuration["cores"])
        folder = Path(configuration["folder"])
        path = folder / f"{configuration['dtype']}.gguf"
        write_gguf(folder, path, configuration["dtype"])
        llama_cpp.llama_log_set(ignore, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self._model = llama_cpp.llama_model_load_from_file(
            str(path).encode(), llama_cpp.llama_model_default_params()
        )
        if not self._model:
            raise RuntimeError(f"llama.cpp cannot load {path}")
        self._vocab: int = json.loads((folder / "config.json").read_bytes())["vocab_size"]

    def generate(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> dict[str, Any]:
        """Greedy answers of so many tokens to all prompts at once, and the seconds of each step."""
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = sum(len(prompt) + new_tokens for prompt in prompts)
        params.n_batch = params.n_ubatch = BATCH_TOKENS
        params.n_seq_max = len(prompts)
        params.n_threads = params.n_threads_batch = self._threads
        params.kv_unified = True
        context = llama_cpp.llama_init_from_model(self._model, params)
        if not context:
            raise RuntimeError("llama.cpp cannot make a context: is there memory enough?")
        batch = llama_cpp.llama_batch_init(BATCH_TOKENS, 0, 1)
        try:
            began = time.perf_counter()
            newest = self._read(context, batch, prompts)
            answers, steps = [[token] for token in newest], list[float]()
            for step in range(1, new_tokens):
                at = time.perf_counter()
                fed = [(token, len(prompts[n]) + step - 1, n, True) for n, token in enumerate(newest)]
                newest = self._forward(context, batch, fed)
                for answer, token in zip(answers, newest, strict=True):
                    answer.append(token)
                steps.append(time.perf_counter() - at)
            return {"seconds": time.perf_counter() - began, "steps": steps, "answers": answers}
        finally:
            llama_cpp.llama_batch_free(batch)
            llama_cpp.llama_free(context)

    def _read(self, context: Any, batch: Any, prompts: Sequence[Sequence[int]]) -> list[int]:
        """The first token behind each prompt."""
        fed = [
            (token, place, n, place + 1 == len(prompt))
            for n, prompt in enumerate(prompts)
            for place, token in enumerate(prompt)
        ]
        first = list[int]()
        for start in range(0, len(fed), BATCH_TOKENS):
            first += self._forward(context, batch, fed[start : start + BATCH_TOKENS])
        return first

    def _forward(self, context: Any, batch: Any, fed: Sequence[tuple[int, int, int, bool]]) -> list[int]:
        """The likeliest token behind each of those that are asked for: token, place, sequence, asked."""
        batch.n_tokens = len(fed)
        for n, (token, place, sequence, asked) in enumerate(fed):
            batch.token[n], batch.pos[n] = token, place
            batch.n_seq_id[n], batch.seq_id[n][0] = 1, sequence
            batch.logits[n] = asked
        status = llama_cpp.llama_decode(context, batch)
        if status:
            raise RuntimeError(f"llama_decode gave {status}")
        rows = [llama_cpp.llama_get_logits_ith(context, n) for n, one in enumerate(fed) if one[3]]
        return [int(np.ctypeslib.as_array(row, (self._vocab,)).argmax()) for row in rows]


def write_gguf(folder: Path, path: Path, dtype: str) -> None:
    """A Qwen2 of Hugging Face's layout as GGUF, without a vocabulary; matrices in ``dtype``."""
    config = json.loads((folder / "config.json").read_bytes())
    rope = config.get("rope_theta") or config["rope_parameters"]["rope_theta"]
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(rope)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")
    for name, rows in tensors_of(folder):
        if rows.ndim == 1 or dtype == "float32":
            writer.add_tensor(name, rows)
        else:
            kind = gguf.GGMLQuantizationType.BF16
            writer.add_tensor(name, gguf.quants.quantize(rows, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tensors_of(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Every tensor by its name in GGUF, float32; safetensors files are a length, a table and the numbers."""
    for path in sorted(folder.glob("*.safetensors")):
        data = np.memmap(path, dtype=np.uint8, mode="r")
        start = 8 + int(data[:8].view("<u8")[0])
        for name, entry in json.loads(bytes(data[8:start])).items():
            if name != "__metadata__":
                assert entry["dtype"] == "BF16", entry
                low, high = entry["data_offsets"]
                halves = data[start + low : start + high].view("<u2").astype(np.uint32)
                yield gguf_name(name), (halves << 16).view(np.float32).reshape(entry["shape"])


def gguf_name(name: str) -> str:
    stem, _, kind = name.rpartition(".")
    if not stem.startswith("model.layers."):
        return f"{NAMES[stem]}.{kind}"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{NAMES[part]}.{kind}"


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def ignore(level: int, text: bytes, data: Any) -> None:
    """Nothing is said but by exceptions."""


def main() -> None:
    side = LlamaSide(begin())
    serve({"generate": side.generate})


if __name__ == "__main__":
    main()
