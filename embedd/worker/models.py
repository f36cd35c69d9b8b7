"""A model as its own library runs it, and what of it comes behind the layers.

``run_padded`` is the library's own forward: the reference for everything else. ``finish`` is the part
behind the hidden states: pooling, dense layers and normalisation of an embedding model, the head of a
cross-encoder. A packed forward brings its own hidden states and leaves the rest to ``finish``.
"""

from copy import copy
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForSequenceClassification
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions as Answer

from embedd.errors import ModelLoadError
from embedd.worker.layout import Layout

Kind = Literal["embedding", "reranking"]


class Model(Protocol):
    """In float32, in evaluation mode. ``stack`` is the transformer that gives the hidden states."""

    stack: Any

    def run_padded(self, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows (n, dim) and hidden states (n, longest, d) of padded inputs, all (n, longest)."""

    def finish(self, hidden: torch.Tensor, layout: Layout) -> torch.Tensor:
        """Rows (n, dim) from the hidden states (tokens, d) of sequences that lie one behind the other."""


class EmbeddingModel:
    """A sentence-transformers model: rows are vectors."""

    def __init__(self, modules: SentenceTransformer) -> None:
        self._modules = modules
        self.stack: Any = modules[0].auto_model

    def run_padded(self, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        features: Any = dict(inputs)
        for module in self._modules:  # the model's own call does the same, and 0.3 ms of housekeeping
            features = module(features)
        return features["sentence_embedding"], features["token_embeddings"]

    def finish(self, hidden: torch.Tensor, layout: Layout) -> torch.Tensor:
        features: Any = {
            "token_embeddings": hidden[None],
            "cu_seq_lens_q": layout.borders.long(),
        }
        for module in list(self._modules)[1:]:
            features = module(features)
        vectors: torch.Tensor = features["sentence_embedding"]
        return vectors


class CrossEncoderModel:
    """A transformers model with a classification head: rows are raw scores, one for each label.

    Its head reads one state per sequence: the first one, the last one of a decoder, or their mean. So a copy
    of it, whose stack only hands on what it is given, is given sequences of one token with just that state.
    """

    def __init__(self, classifier: Any) -> None:
        self._classifier = classifier
        self.stack = classifier.base_model
        self._head = copy(classifier)
        self._head._modules = dict(classifier._modules)  # noqa: SLF001 - or both would change
        setattr(self._head, classifier.base_model_prefix, _HandOn(self.stack))

    def run_padded(self, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        output = self._classifier(**inputs, output_hidden_states=True)
        return output.logits, output.hidden_states[-1]

    def finish(self, hidden: torch.Tensor, layout: Layout) -> torch.Tensor:
        states = self._states(hidden, layout)[:, None]
        ones = torch.ones(states.shape[:2], dtype=torch.long, device=hidden.device)
        scores: torch.Tensor = self._head(input_ids=ones, attention_mask=ones, inputs_embeds=states).logits
        return scores

    def _states(self, hidden: torch.Tensor, layout: Layout) -> torch.Tensor:
        borders = layout.borders.long()
        if getattr(self.stack.config, "classifier_pooling", None) == "mean":
            lengths = torch.tensor(layout.lengths, device=hidden.device)
            return torch.segment_reduce(hidden, "mean", lengths=lengths)
        return hidden[borders[1:] - 1 if _reads_the_last(self._classifier) else borders[:-1]]


class _HandOn(torch.nn.Module):
    """In the place of a stack: hidden states are the embeddings it is given, pooled as the stack does."""

    def __init__(self, stack: Any) -> None:
        super().__init__()
        self._pooler = getattr(stack, "pooler", None)

    def forward(self, *_: Any, inputs_embeds: torch.Tensor, **__: Any) -> Answer:
        pooled = None if self._pooler is None else self._pooler(inputs_embeds)
        return Answer(last_hidden_state=inputs_embeds, pooler_output=pooled)


def read_model(folder: Path, kind: Kind, device: str) -> Model:
    """The model in ``folder``, in float32; ``device`` is torch's name for one, or ``auto``.

    Raises:
        ModelLoadError: the files are missing, damaged, or hold no such model.
    """
    place = None if device == "auto" else device
    try:
        if kind == "reranking":
            classifier = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
            return CrossEncoderModel(classifier.to(place or _best_device()).eval())
        modules = SentenceTransformer(str(folder), device=place, local_files_only=True)
        _refuse_unpooled_prompts(modules)
        return EmbeddingModel(modules.float().eval())
    except ModelLoadError:
        raise
    except Exception as error:  # whatever the libraries raise for files they cannot use
        raise ModelLoadError(f"{folder} cannot be loaded: {error}") from error


def _best_device() -> torch.device:
    accelerator = torch.accelerator.current_accelerator()
    return (
        accelerator if accelerator is not None and torch.accelerator.is_available() else torch.device("cpu")
    )


def _refuse_unpooled_prompts(modules: SentenceTransformer) -> None:
    if any(getattr(module, "include_prompt", True) is False for module in modules):
        raise ModelLoadError(
            "its pooling leaves out the prompt (include_prompt: false), which is not supported"
        )


def _reads_the_last(classifier: Any) -> bool:
    """Decoders with a head score the last token; by the class all of them share."""
    return any(one.__name__ == "GenericForSequenceClassification" for one in type(classifier).__mro__)
