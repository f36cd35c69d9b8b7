"""A causal language model of transformers', made ready to compute batches over pages.

No model code is ours: its attention layers call our function, its weights are laid out anew, and the rest
runs as it is. Whether that computes what the model means is not looked up but tried, when it is loaded.
"""

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from embedd.errors import ModelLoadError
from embedd.worker.attention import UnsupportedAttentionError
from embedd.worker.generation.attention import CpuCache, PagedAttention
from embedd.worker.generation.batch import Batch
from embedd.worker.generation.native import PANEL
from embedd.worker.generation.weights import speed_up
from embedd.worker.linear import choose_dtype

_TRIAL = ((3, 1, 2, 0, 1), (2, 3, 1))
"""Sequences that are computed both ways; every vocabulary has these tokens."""
_SAME_WITHIN = {torch.float32: 0.01, torch.bfloat16: 0.5, torch.float16: 0.5}
"""Of the logits' spread: how far they may be from the library's own."""
_CHANGING_ROPE = ("dynamic", "longrope")
"""Positions that depend on how long a sequence is, which in a batch is no one number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a model runs and as what; ``auto`` is the best there is. ``int8``: its weights, on a CPU."""

    device: str = "auto"
    dtype: str = "auto"
    int8: bool = False


class Model:
    """Logits of batches; ``page_tokens`` to a page, and ``context`` the most tokens of a sequence.

    ``token_bytes``: what the keys and values of one token take.
    """

    def __init__(self, folder: Path, placement: Placement) -> None:
        self.device = _choose_device(placement.device)
        self.dtype = choose_dtype(placement.dtype, self.device)
        self._refuse_types(placement)
        self.page_tokens = (
            PANEL if self.device.type == "cpu" else 256
        )  # what flash attention's pages must hold
        self._lm = _read(folder, self.dtype)
        self.weights_bytes = _weights_bytes(self._lm)
        self.context, self.vocab, self.token_bytes = _read_sizes(self._lm.config, self.dtype)
        self._attention = PagedAttention()
        self._graphs: Any = None
        self._make_ready(int8=placement.int8)

    def open_cache(self, pages: int) -> None:
        """Sets up memory for so many pages, and forgets what was there."""
        if self.device.type == "cpu":
            self._attention.cache = CpuCache(pages, self.dtype)
        else:
            from embedd.worker.generation.cuda import CudaCache  # noqa: PLC0415 - needs a build with CUDA

            self._attention.cache = CudaCache(pages, self.page_tokens, self.dtype, self.device)
            self._graphs = None  # they write to the memory that was there before

    def record_steps(self, context: int) -> None:
        """On a GPU: from now on decode steps are recorded, for sequences of up to ``context`` tokens."""
        if self.device.type == "cuda":
            from embedd.worker.generation.cuda import Graphs  # noqa: PLC0415

            self._graphs = Graphs(self._lm, self._attention, context, self.device)

    @torch.inference_mode()
    def forward(self, batch: Batch) -> torch.Tensor:
        """The logits (rows, vocab) behind the batch's rows, in float32."""
        self._attention.batch = batch
        if self._graphs is not None and (recorded := self._graphs.run(batch)) is not None:
            return _wide(recorded)
        logits = self._lm(
            input_ids=batch.tokens[None].to(self.device),
            position_ids=batch.positions[None].to(self.device),
            use_cache=False,
            logits_to_keep=batch.rows.to(self.device),
        ).logits[0]
        return _wide(logits)

    def _refuse_types(self, placement: Placement) -> None:
        on_cpu = self.device.type == "cpu"
        if on_cpu and self.dtype == torch.float16:
            raise ModelLoadError("float16 runs on GPUs only; on a CPU take float32 or bfloat16")
        if not on_cpu and (self.dtype == torch.float32 or placement.int8):
            raise ModelLoadError("on a GPU weights are bfloat16 or float16, not float32 or int8")

    def _make_ready(self, *, int8: bool) -> None:
        expected = [_run_alone(self._lm, tokens) for tokens in _TRIAL]
        self._lm.set_attn_implementation(self._attention.name)
        self._lm.to(self.device)
        self.open_cache(len(_TRIAL))
        try:
            found = self._run_trial()
        except UnsupportedAttentionError as error:
            raise ModelLoadError(f"{self._lm.config.model_type} cannot be served: {error}") from error
        _refuse_other_logits(self._lm, found, expected, _SAME_WITHIN[self.dtype])
        if self.device.type == "cpu":
            speed_up(self._lm, self.dtype, int8=int8)
            gc.collect()

    def _run_trial(self) -> Sequence[torch.Tensor]:
        """The last logits of the trial's sequences, together, and in two parts."""
        for first, last in ((0, 2), (2, None)):
            parts = [tokens[first:last] for tokens in _TRIAL]
            found = self.forward(Batch.of(parts, [first] * 2, [[0], [1]], [1, 1]))
        return list(found)


def _wide(logits: torch.Tensor) -> torch.Tensor:
    return logits.float()


def _read(folder: Path, dtype: torch.dtype) -> Any:
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
    except Exception as error:
        raise ModelLoadError(f"{folder} cannot be loaded as a language model: {error}") from error
    model.train(mode=False)
    return model.requires_grad_(requires_grad=False)


def _read_sizes(config: Any, dtype: torch.dtype) -> tuple[int, int, int]:
    """Context, vocabulary, and bytes of a token's keys and values."""
    text = config.get_text_config()
    context = text.max_position_embeddings
    rope = getattr(text, "rope_parameters", None) or {}
    for kind in (
        rope,
        *(part for part in rope.values() if isinstance(part, dict)),
    ):  # one for each kind of layer
        if kind.get("rope_type") in _CHANGING_ROPE:
            context = min(context, kind.get("original_max_position_embeddings") or context)
    d = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    wide = -(-d // PANEL) * PANEL
    return context, text.vocab_size, text.num_hidden_layers * heads * (d + wide) * dtype.itemsize


def _weights_bytes(model: Any) -> int:
    return sum(weight.numel() * weight.element_size() for weight in model.parameters())


@torch.inference_mode()
def _run_alone(model: Any, tokens: Sequence[int]) -> torch.Tensor:
    logits: torch.Tensor = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1]
    return logits.float()


def _refuse_other_logits(
    model: Any, found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor], within: float
) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        away = float((ours.cpu() - theirs).abs().max() / theirs.std())
        if not away <= within:
            raise ModelLoadError(
                f"{model.config.model_type} cannot be served: with paged attention its logits are {away:.2g} "
                "of their spread away from the library's own"
            )


def _choose_device(asked: str) -> torch.device:
    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if asked.startswith("cuda") and not torch.cuda.is_available():
        raise ModelLoadError(f"device {asked} was asked for, and torch sees none")
    return torch.device(asked)
