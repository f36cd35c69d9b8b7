"""The settings in a model folder, read as sentence-transformers reads them and without importing it.

Knows file formats and which of their modules this project can run; nothing of weights.
https://github.com/huggingface/sentence-transformers, base/model.py, base/modules, cross_encoder/model.py
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from embedd.errors import ModelLoadError
from embedd.model_json import read_json, read_object

ModelKind = Literal["embedding", "reranking"]
Activation = Literal["sigmoid", "identity"]

_POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_PLAIN_TRANSFORMER = [{"type": "sentence_transformers.models.Transformer", "path": ""}]
_AFTER_TRANSFORMER = ("Pooling", "Dense", "Normalize", "LayerNorm", "Dropout")
_SENTENCE_CONFIGS = ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
_POSITIONS_AFTER_PADDING = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet")
_ACTIVATIONS: Mapping[str, Activation] = {"Sigmoid": "sigmoid", "Identity": "identity"}
_CLASSIFIER = "ForSequenceClassification"
_UNLIMITED = 2**20
_DEFAULT_LABELS = 2  # of transformers, where config.json does not say


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The settings of a model folder, by what they are for.

    ``settings``: config_sentence_transformers.json; ``modules``: kind and config of each, in order;
    ``transformer``: config.json; ``sentence``: sentence_bert_config.json; ``tokenizer``: its config.
    """

    settings: Mapping[str, Any]
    modules: tuple[tuple[str, Mapping[str, Any]], ...]
    transformer: Mapping[str, Any]
    sentence: Mapping[str, Any]
    tokenizer: Mapping[str, Any]
    tokenizer_folder: Path

    @classmethod
    def read(cls, folder: Path) -> "ModelFiles":
        """Raises ``ModelLoadError`` where the folder holds no model that can be run."""
        modules = read_json(folder / "modules.json", default=_PLAIN_TRANSFORMER)
        kinds = [_module_kind(module["type"]) for module in modules]
        _refuse_other_modules(kinds)
        configs = [read_object(folder / module["path"] / "config.json", optional=True) for module in modules]
        first = folder / modules[0]["path"]
        return cls(
            settings=read_object(folder / "config_sentence_transformers.json", optional=True),
            modules=tuple(zip(kinds, configs, strict=True)),
            transformer=read_object(first / "config.json"),
            sentence=_first_object([first / f"sentence_{name}_config.json" for name in _SENTENCE_CONFIGS]),
            tokenizer=read_object(first / "tokenizer_config.json", optional=True),
            tokenizer_folder=first,
        )

    @property
    def kind(self) -> ModelKind:
        """A cross-encoder says so itself, or is a classifier without a pooling of its own."""
        if self.settings.get("model_type") == "CrossEncoder":
            return "reranking"
        classifies = self.architecture.endswith(_CLASSIFIER) and not self._config_of("Pooling")
        return "reranking" if classifies else "embedding"

    @property
    def architecture(self) -> str:
        """The class of transformers that the weights belong to; empty where the files do not say."""
        names = self.transformer.get("architectures") or [""]
        return str(names[0])

    @property
    def pooling(self) -> tuple[str, ...]:
        """The pooling modes, in the order their vectors are joined; mean without a pooling module."""
        config = self._config_of("Pooling")
        mode = config.get("pooling_mode")
        if mode is not None:
            return (mode,) if isinstance(mode, str) else tuple(mode)
        return tuple(name for flag, name in _POOLING_FLAGS.items() if config.get(flag)) or ("mean",)

    @property
    def pools_prompt(self) -> bool:
        """Whether the tokens of a prompt count in a vector."""
        return bool(self._config_of("Pooling").get("include_prompt", True))

    @property
    def dim(self) -> int:
        """How many numbers a vector has."""
        dense = self._config_of("Dense").get("out_features")
        if dense is not None:
            return int(dense)
        config = self._config_of("Pooling")
        token_dim = config.get("embedding_dimension") or config.get("word_embedding_dimension")
        return int(token_dim or self._of_transformer("hidden_size")) * len(self.pooling)

    @property
    def max_tokens(self) -> int:
        """The longest input, special tokens included, by the rule of sentence-transformers; yet no longer
        than the model has positions.
        """
        own = self.sentence.get("max_seq_length")
        limits = (own, self._positions) if own else (self._positions, self._tokenizer_limit)
        known = [int(limit) for limit in limits if limit]
        return min(known, default=_UNLIMITED)

    @property
    def vocab_size(self) -> int | None:
        """How many token ids it has vectors for."""
        size = self._of_transformer("vocab_size")
        return int(size) if size else None

    @property
    def normalized(self) -> bool:
        return self.modules[-1][0] == "Normalize"

    @property
    def lowercase(self) -> bool:
        """Whether texts are lower-cased before the tokenizer's own normalisation."""
        return bool(self.sentence.get("do_lower_case"))

    @property
    def segments(self) -> bool:
        """Whether the model is told which text of a pair a token belongs to."""
        return "token_type_ids" in self.tokenizer.get("model_input_names", ["token_type_ids"])

    @property
    def prompts(self) -> dict[str, str]:
        """By name; ``query`` and ``document`` are always there, if need be empty."""
        saved = self.settings.get("prompts") or {}
        return {"query": "", "document": ""} | {name: prompt or "" for name, prompt in saved.items()}

    @property
    def default_prompt_name(self) -> str | None:
        name: str | None = self.settings.get("default_prompt_name")
        if name is not None and name not in self.prompts:
            raise ModelLoadError(f"its default prompt {name!r} is not among its prompts {list(self.prompts)}")
        return name

    @property
    def labels(self) -> tuple[str, ...]:
        """What a classifier tells apart, in the order of its raw scores."""
        names = self.transformer.get("id2label")
        if names:
            return tuple(str(names[key]) for key in sorted(names, key=int))
        count = self.transformer.get("num_labels") or _DEFAULT_LABELS
        return tuple(f"LABEL_{number}" for number in range(count))

    @property
    def activation(self) -> Activation:
        """What makes scores of a reranker's raw ones; names that are not torch's are not trusted."""
        old = self.transformer.get("sentence_transformers") or {}
        path = (
            self.settings.get("activation_fn")
            or old.get("activation_fn")
            or self.transformer.get("sbert_ce_default_activation_function")
        )
        if not path or not path.startswith("torch."):
            return "sigmoid"
        name = path.rpartition(".")[2]
        if name not in _ACTIVATIONS:
            raise ModelLoadError(f"its activation {path} is not known; known are {list(_ACTIVATIONS)}")
        return _ACTIVATIONS[name]

    @property
    def _tokenizer_limit(self) -> int | None:
        limit = self.tokenizer.get("model_max_length")
        return limit if limit and limit < _UNLIMITED else None  # 1e30 stands for none

    @property
    def _positions(self) -> int | None:
        """How many positions a token can have; some models count from behind the padding's."""
        positions = self._of_transformer("max_position_embeddings")
        if not positions or positions < 0:  # -1 stands for no limit
            return None
        if self.transformer.get("model_type") in _POSITIONS_AFTER_PADDING:
            return int(positions) - int(self.transformer.get("pad_token_id", 1)) - 1
        return int(positions)

    def _config_of(self, kind: str) -> Mapping[str, Any]:
        """The config of the last module of that kind."""
        return next((config for name, config in reversed(self.modules) if name == kind), {})

    def _of_transformer(self, key: str) -> Any:
        text_part = self.transformer.get("text_config") or {}
        return self.transformer.get(key, text_part.get(key))


def _module_kind(path: str) -> str:
    """The last part of a class's name; the whole name of one that comes with the model, as code."""
    return path.rpartition(".")[2] if path.startswith("sentence_transformers.") else path


def _refuse_other_modules(kinds: Sequence[str]) -> None:
    if list(kinds[:1]) != ["Transformer"]:
        raise ModelLoadError(f"it does not begin with a transformer: its modules are {list(kinds)}")
    other = [kind for kind in kinds[1:] if kind not in _AFTER_TRANSFORMER]
    if other:
        raise ModelLoadError(
            f"its modules {other} cannot be run; behind the transformer there may be "
            f"{', '.join(_AFTER_TRANSFORMER)}"
        )


def _first_object(paths: Sequence[Path]) -> Mapping[str, Any]:
    return next((read_object(path) for path in paths if path.exists()), {})
