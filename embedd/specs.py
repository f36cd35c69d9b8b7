"""What an embedding model is: its name, where it comes from, and the facts its own files tell.

Reads the files of sentence-transformers without importing it. Knows neither how weights are fetched
(``embedd.sources``) nor how they are run (``embedd.worker``).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embedd.errors import ModelLoadError
from embedd.fake import FAKE_DIM, FAKE_MAX_TOKENS

BUNDLED_MODEL = "all-MiniLM-L6-v2"
FAKE_MODEL = "fake"

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_PLAIN_TRANSFORMER = [{"type": "Transformer", "path": ""}]
_UNLIMITED = 2**20


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model as it was asked for.

    ``source`` is ``<scheme>:<place>``: ``bundled:all-MiniLM-L6-v2``, ``fake:``, ``folder:/models/e5``,
    ``hub:org/name``. ``device`` is torch's name for it, or ``auto``.
    """

    name: str
    source: str
    revision: str | None = None
    device: str = "auto"
    replicas: int = 1

    @property
    def scheme(self) -> str:
        return self.source.partition(":")[0]

    @property
    def place(self) -> str:
        return self.source.partition(":")[2]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model as it is.

    ``max_tokens`` counts the special tokens; ``normalized`` says whether vectors have unit length;
    ``pooling`` joins several modes with ``+``; ``prompts`` are put in front of texts by their name.
    ``sha256`` is that of the weights: collections are tied to it.
    """

    name: str
    source: str
    dim: int
    max_tokens: int
    normalized: bool
    pooling: str
    revision: str
    sha256: str
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's files on this machine and what identifies them."""

    folder: Path
    revision: str
    sha256: str


def parse_spec(
    text: str, *, revision: str | None = None, device: str = "auto", replicas: int = 1
) -> ModelSpec:
    """The model that ``text`` names: ``all-MiniLM-L6-v2``, ``fake``, a folder, or a hub id.

    Raises:
        ModelLoadError: it is none of these.
    """
    return ModelSpec(text, _source(text), revision, device, replicas)


def _source(text: str) -> str:
    if text == BUNDLED_MODEL:
        return f"bundled:{text}"
    if text == FAKE_MODEL:
        return "fake:"
    folder = Path(text).expanduser()
    if text and folder.is_dir():
        return f"folder:{folder.resolve()}"
    if _HUB_ID.fullmatch(text):
        return f"hub:{text}"
    raise ModelLoadError(
        f"no model {text!r}: name {BUNDLED_MODEL!r}, {FAKE_MODEL!r}, an existing folder, "
        "or a hub id such as 'intfloat/e5-small-v2'"
    )


def fake_card(spec: ModelSpec, weights: Weights) -> ModelCard:
    """The card of the weightless model."""
    return ModelCard(
        name=spec.name,
        source=spec.source,
        dim=FAKE_DIM,
        max_tokens=FAKE_MAX_TOKENS,
        normalized=True,
        pooling="sum",
        revision=weights.revision,
        sha256=weights.sha256,
    )


def read_card(spec: ModelSpec, weights: Weights) -> ModelCard:
    """What the files of a sentence-transformers model, or of a plain transformers one, say about it.

    Raises:
        ModelLoadError: a file is missing or broken, or this is no text embedding model.
    """
    files = ModelFiles.read(weights.folder)
    prompts = files.settings.get("prompts") or {}
    return ModelCard(
        name=spec.name,
        source=spec.source,
        dim=files.dim,
        max_tokens=files.max_tokens,
        normalized=files.normalized,
        pooling="+".join(files.pooling),
        prompts={name: prompt for name, prompt in prompts.items() if prompt},
        default_prompt_name=files.settings.get("default_prompt_name"),
        revision=weights.revision,
        sha256=weights.sha256,
    )


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The settings of a model folder, by what they are for.

    ``settings``: config_sentence_transformers.json; ``modules``: kind and config of each, in order;
    ``transformer``: config.json; ``sentence`` and ``tokenizer``: their files of these names.
    """

    settings: Mapping[str, Any]
    modules: tuple[tuple[str, Mapping[str, Any]], ...]
    transformer: Mapping[str, Any]
    sentence: Mapping[str, Any]
    tokenizer: Mapping[str, Any]
    tokenizer_folder: Path

    @classmethod
    def read(cls, folder: Path) -> "ModelFiles":
        """Raises ``ModelLoadError`` where the folder holds no text embedding model."""
        modules = _read_json(folder / "modules.json", default=_PLAIN_TRANSFORMER)
        kinds = [module["type"].rsplit(".", 1)[-1] for module in modules]
        if not kinds or kinds[0] != "Transformer":
            raise ModelLoadError(f"{folder} holds no transformer embedding model: its modules are {kinds}")
        configs = [_read_json(folder / module["path"] / "config.json", default={}) for module in modules]
        first = folder / modules[0]["path"]
        return cls(
            settings=_read_json(folder / "config_sentence_transformers.json", default={}),
            modules=tuple(zip(kinds, configs, strict=True)),
            transformer=_read_json(first / "config.json"),
            sentence=_read_json(first / "sentence_bert_config.json", default={}),
            tokenizer=_read_json(first / "tokenizer_config.json", default={}),
            tokenizer_folder=first,
        )

    @property
    def pooling(self) -> tuple[str, ...]:
        """The pooling modes, in the order their vectors are joined; mean without a pooling module."""
        config = self._config_of("Pooling")
        mode = config.get("pooling_mode")
        if mode is not None:
            return (mode,) if isinstance(mode, str) else tuple(mode)
        return tuple(name for flag, name in _POOLING_FLAGS.items() if config.get(flag)) or ("mean",)

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
        """The longest input, special tokens included, by the rule of sentence-transformers."""
        own = self.sentence.get("max_seq_length")
        limits = (own,) if own else (self._of_transformer("max_position_embeddings"), self._tokenizer_limit)
        known = [int(limit) for limit in limits if limit]
        return min(known, default=_UNLIMITED)

    @property
    def normalized(self) -> bool:
        return self.modules[-1][0] == "Normalize"

    @property
    def lowercase(self) -> bool:
        """Whether texts are lower-cased before the tokenizer's own normalisation."""
        return bool(self.sentence.get("do_lower_case"))

    @property
    def _tokenizer_limit(self) -> int | None:
        limit = self.tokenizer.get("model_max_length")
        return limit if limit and limit < _UNLIMITED else None  # 1e30 stands for none

    def _config_of(self, kind: str) -> Mapping[str, Any]:
        """The config of the last module of that kind."""
        return next((config for name, config in reversed(self.modules) if name == kind), {})

    def _of_transformer(self, key: str) -> Any:
        text_part = self.transformer.get("text_config") or {}
        return self.transformer.get(key, text_part.get(key))


def _read_json(path: Path, default: Any = None) -> Any:
    """What ``path`` holds, or ``default`` where it is missing and there is one."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if default is None:
            raise ModelLoadError(f"{path} is missing") from error
        return default
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"{path} cannot be read: {error}") from error
