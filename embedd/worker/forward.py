"""From token ids to rows and hidden states: packed where the model allows it, padded where not.

Both take sequences sorted by length. Whether a model can be packed is not looked up but tried: on loading,
a few sequences go through both, and a model whose packed states differ is run padded.
"""

import inspect
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from embedd.errors import ModelLoadError
from embedd.worker.attention import PackedAttention
from embedd.worker.layout import Layout, round_rows
from embedd.worker.linear import choose_dtype, speed_up
from embedd.worker.models import Model

_CHECK_LENGTHS = (3, 5, 5, 17)
_SAME_WITHIN = 1e-3
"""Of hidden states, whose largest number is around 1; a wrong mask or position moves them by tenths."""

Ids = Sequence[npt.NDArray[np.int32]]


class Forward(Protocol):
    """A model made ready to run: ``packed`` or ``padded``, and a note why not packed."""

    name: str
    note: str

    def __call__(self, ids: Ids, seconds: npt.NDArray[np.int32]) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows (n, dim) and the hidden states (all tokens, d), float32, of n sequences sorted by length."""


class PaddedForward:
    """The library's own forward."""

    name = "padded"

    def __init__(self, model: Model, note: str = "") -> None:
        self.note = note
        self._model = model
        self._takes_types = _takes_types(model)
        self._typed = _tells_segments_apart(model)

    def __call__(self, ids: Ids, seconds: npt.NDArray[np.int32]) -> tuple[torch.Tensor, torch.Tensor]:
        device = self._model.stack.device
        tokens, mask = pad(ids, _pad_id(self._model))
        inputs = {"input_ids": tokens, "attention_mask": mask}
        if self._takes_types:
            column = np.arange(mask.shape[1])
            inputs["token_type_ids"] = (column >= _starts(seconds, typed=self._typed)[:, None]) & (mask == 1)
        tensors = {name: torch.from_numpy(np.int64(value)).to(device) for name, value in inputs.items()}
        rows, hidden = self._model.run_padded(tensors)
        return rows.float(), hidden[tensors["attention_mask"].bool()].float()


class PackedForward:
    """All sequences as one row of tokens, without padding between them.

    A few tokens behind the last one round their number up, see ``round_rows``; nothing attends to them.
    """

    name = "packed"
    note = ""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._takes_types = _takes_types(model)
        self._typed = _tells_segments_apart(model)
        self._first_position = _first_position(model.stack)
        self._options = {"use_cache": False} if hasattr(model.stack.config, "use_cache") else {}
        self._attention = PackedAttention()
        self._library_attention = model.stack.config._attn_implementation  # noqa: SLF001
        model.stack.set_attn_implementation(self._attention.name)

    def narrow(self, dtype: torch.dtype) -> None:
        """Computes attention in ``dtype`` from now on."""
        self._attention.dtype = dtype

    def undo(self) -> None:
        """Gives the model back its own attention."""
        self._model.stack.set_attn_implementation(self._library_attention)

    def __call__(self, ids: Ids, seconds: npt.NDArray[np.int32]) -> tuple[torch.Tensor, torch.Tensor]:
        device = self._model.stack.device
        layout = Layout.of([len(one) for one in ids], device)
        self._attention.layout = layout
        tokens = torch.from_numpy(np.concatenate(ids).astype(np.int64)).to(device)
        inputs = {"input_ids": tokens, "position_ids": layout.positions + self._first_position}
        if self._takes_types:
            starts = torch.from_numpy(np.repeat(_starts(seconds, typed=self._typed), layout.lengths)).to(
                device
            )
            inputs["token_type_ids"] = (layout.positions >= starts).long()
        more = round_rows(len(tokens)) - len(tokens)
        filled = {name: torch.nn.functional.pad(value, (0, more))[None] for name, value in inputs.items()}
        hidden = self._model.stack(**filled, **self._options).last_hidden_state[0, : len(tokens)].float()
        return self._model.finish(hidden, layout).float(), hidden


def make_forward(model: Model, dtype: str, *, compiled: bool) -> tuple[Forward, torch.dtype]:
    """The fastest forward that gives what the library's own gives, and the precision of its linear layers.

    A padded one stays in float32: its attention is the library's own and mixes no types.

    Raises:
        ModelLoadError: ``dtype`` is neither ``auto`` nor what the model can run in.
    """
    device = model.stack.device
    forward = _packed_if_faithful(model)
    is_packed = isinstance(forward, PackedForward)
    chosen = choose_dtype(dtype, device) if is_packed or dtype != "auto" else torch.float32
    if not is_packed and chosen != torch.float32:
        raise ModelLoadError(f"{forward.note}: it runs in float32 only, not in {dtype}")
    speed_up(model.stack, chosen, laid_out=device.type == "cpu" and not compiled)
    if isinstance(forward, PackedForward):
        forward.narrow(chosen)
    if compiled:
        model.stack.compile(dynamic=True)  # which lays out weights itself
    return forward, chosen


def _packed_if_faithful(model: Model) -> "PackedForward | PaddedForward":
    """A packed forward, or a padded one if the model cannot be packed or its states are then other ones."""
    if not model.stack._can_set_attn_implementation():  # noqa: SLF001 - to try it logs a warning
        return PaddedForward(model, "its attention cannot be replaced")
    ids, seconds = check_batch(model)
    with torch.inference_mode():
        expected = PaddedForward(model)(ids, seconds)
        packed = PackedForward(model)
        try:
            found = packed(ids, seconds)
        except Exception as error:  # noqa: BLE001 - whatever a model's code does not like about being packed
            note = f"it cannot be packed ({error})"
        else:
            if all(map(_same, expected, found)):
                return packed
            note = "its hidden states are other ones when it is packed"
    packed.undo()
    return PaddedForward(model, note)


def check_batch(model: Model) -> tuple[Ids, npt.NDArray[np.int32]]:
    """Sequences of arbitrary tokens, longer than the model's attention window if it has one."""
    config = model.stack.config.get_text_config()
    longest = getattr(config, "max_position_embeddings", None) or 512
    window = getattr(config, "sliding_window", None) or 0
    lengths = sorted(min(length, longest // 2) for length in (*_CHECK_LENGTHS, 2 * window + 3))
    draw = np.random.default_rng(0)
    pad_id = _pad_id(model)
    ids = [draw.integers(0, config.vocab_size - 1, length, dtype=np.int32) for length in lengths]
    return [one + (one >= pad_id) for one in ids], np.full(len(ids), -1, dtype=np.int32)


def pad(ids: Ids, pad_id: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Sequences as one matrix (n, longest) of tokens and one of the same shape with 1 where they are real.

    Padding goes to the right whatever side the tokenizer prefers: no token's position then depends on
    its neighbours in the batch, and pooling by the last token goes by the mask.
    """
    lengths = np.array([len(one) for one in ids])
    mask = np.arange(lengths.max()) < lengths[:, None]
    tokens = np.full(mask.shape, pad_id, dtype=np.int64)
    tokens[mask] = np.concatenate(ids)
    return tokens, mask.astype(np.int64)


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return bool(torch.allclose(one, other, rtol=_SAME_WITHIN, atol=_SAME_WITHIN))


def _starts(seconds: npt.NDArray[np.int32], *, typed: bool) -> npt.NDArray[np.int64]:
    """Where each second segment begins; beyond every sequence where there is none, or no type for it."""
    return np.where((seconds >= 0) & typed, seconds, np.iinfo(np.int32).max).astype(np.int64)


def _takes_types(model: Model) -> bool:
    return "token_type_ids" in inspect.signature(model.stack.forward).parameters


def _tells_segments_apart(model: Model) -> bool:
    """RoBERTa, for one, takes types and knows a single one."""
    return int(getattr(model.stack.config, "type_vocab_size", 0)) > 1


def _pad_id(model: Model) -> int:
    return int(model.stack.config.get_text_config().pad_token_id or 0)


def _first_position(stack: Any) -> int:
    """RoBERTa and its kin count positions from behind the padding token's number."""
    table = getattr(getattr(stack, "embeddings", None), "position_embeddings", None)
    padding: int | None = getattr(table, "padding_idx", None)
    return 0 if padding is None else padding + 1
