"""What a model is: its name, where it comes from, and the facts its own files tell.

Knows neither how weights are fetched (``embedd.sources``) nor how they are run (``embedd.worker``).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from embedd.errors import ModelLoadError
from embedd.fake import FAKE_DIM, FAKE_MAX_TOKENS
from embedd.model_files import Activation, ModelFiles, ModelKind
from embedd.remote.specs import is_remote, name_of, parse_remote

__all__ = ["Dtype", "ModelCard", "ModelFiles", "ModelKind", "ModelSpec", "Weights", "parse_spec", "read_card"]

BUNDLED_MODEL = "all-MiniLM-L6-v2"
FAKE_MODEL = "fake"
FAKE_RERANKER = "fake-reranker"
FAKE_LANGUAGE_MODEL = "fake-llm"

ELSEWHERE = "elsewhere"

Dtype = Literal["auto", "float32", "bfloat16", "float16"]

NAMED = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)=(?P<what>.+)")
"""A model behind the name that requests use: ``fast=/models/e5``."""

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]+(/[^\s?#]+)?")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model as it was asked for.

    ``source`` is ``<scheme>:<place>``: ``bundled:all-MiniLM-L6-v2``, ``fake:``, ``fake:reranker``,
    ``fake:llm``, ``folder:/models/e5``, ``hub:org/name``, ``s3://bucket/prefix``, or ``elsewhere:`` and what
    ``embedd.remote.specs`` reads. ``device`` is torch's name
    for it, or ``auto``; ``dtype`` is what the model computes in, where ``auto`` is what is fast on the device
    and exact enough; ``compiled`` says whether torch compiles it first. Its weights must have the ``sha256``,
    if there is one, and be no pickles unless ``allow_pickle``. ``folder`` is where its files lie by now, for
    sources that ``embedd.sources`` does not fetch.
    """

    name: str
    source: str
    revision: str | None = None
    device: str = "auto"
    replicas: int = 1
    dtype: Dtype = "auto"
    compiled: bool = False
    sha256: str | None = None
    allow_pickle: bool = False
    folder: Path | None = None

    @property
    def scheme(self) -> str:
        return self.source.partition(":")[0]

    @property
    def place(self) -> str:
        return self.source.partition(":")[2]

    @property
    def devices(self) -> list[str]:
        """The device of each replica; several are taken in turn, each at least once."""
        named = self.device.split(",")
        return [named[number % len(named)] for number in range(max(self.replicas, len(named)))]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model as it is.

    ``dim`` is the length of an embedding model's vectors and 1 for a reranker. ``max_tokens`` counts the
    special tokens; ``normalized`` says whether vectors have unit length; ``pooling`` joins several modes with
    ``+``; ``prompts`` are put in front of texts (a reranker's queries) by their name. ``activation`` makes a
    reranker's scores of its raw ones. ``sha256`` is that of the weights: collections are tied to it. It
    ``gives_tokens`` if the vectors of single tokens can be had from it.
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
    kind: ModelKind = "embedding"
    activation: Activation = "identity"
    gives_tokens: bool = True


@dataclass(frozen=True, slots=True)
class GeneratorCard:
    """A generator as it is: where it comes from, and which weights those are, where it has some.

    One that ``quotes`` says what stands in passages and nothing else.
    """

    name: str
    source: str
    revision: str = ""
    sha256: str = ""
    quotes: bool = False


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's files on this machine and what identifies them."""

    folder: Path
    revision: str
    sha256: str


def parse_spec(
    text: str,
    *,
    name: str | None = None,
    revision: str | None = None,
    device: str = "auto",
    replicas: int = 1,
    dtype: Dtype = "auto",
    compiled: bool = False,
    sha256: str | None = None,
    allow_pickle: bool = False,
) -> ModelSpec:
    """The model ``text``: ``all-MiniLM-L6-v2``, one of the fake ones, a folder, a hub id, a place in a
    bucket, or servers elsewhere; called so, or ``name``.

    Raises:
        ModelLoadError: it is none of these.
    """
    return ModelSpec(
        name or text, _source(text), revision, device, replicas, dtype, compiled, sha256, allow_pickle
    )


def lies_in_bucket(text: str) -> bool:
    """Whether ``text`` is a place in a bucket, whose files take a while to be here."""
    return _BUCKET.fullmatch(text) is not None


def split_name(text: str) -> tuple[str, str]:
    """The name that requests use, and what it stands for: ``fast=/models/e5``, or what names itself.

    One elsewhere is called like its model there, or by its first address.
    """
    if found := NAMED.fullmatch(text):
        return found["name"], found["what"]
    if is_remote(text):
        try:
            return name_of(text), text
        except ModelLoadError:
            return text, text  # it is told when it is opened
    return text, text


def comes_later(text: str) -> bool:
    """Whether the model ``text`` may take a while to be there, and others do not wait for it."""
    return lies_in_bucket(text) or is_remote(text)


def lies_afar(text: str) -> bool:
    """Whether the files of ``text`` may have to be fetched first, from a bucket or a hub."""
    return lies_in_bucket(text) or _HUB_ID.fullmatch(text) is not None


def _source(text: str) -> str:
    fakes = {FAKE_MODEL: "fake:", FAKE_RERANKER: "fake:reranker", FAKE_LANGUAGE_MODEL: "fake:llm"}
    fixed = {BUNDLED_MODEL: f"bundled:{text}", **fakes}
    if text in fixed:
        return fixed[text]
    folder = Path(text).expanduser()
    if text and folder.is_dir():
        return f"folder:{folder.resolve()}"
    if _BUCKET.fullmatch(text):
        return text.rstrip("/")
    if _HUB_ID.fullmatch(text):
        return f"hub:{text}"
    if is_remote(text):
        return f"{ELSEWHERE}:{parse_remote(text).text}"
    raise ModelLoadError(
        f"no model {text!r}: name {BUNDLED_MODEL!r}, {FAKE_MODEL!r}, {FAKE_RERANKER!r}, an existing folder, "
        "a hub id such as 'intfloat/e5-small-v2', s3://<bucket>/<prefix>, or [<model>@]<address> of a server"
    )


def fake_card(spec: ModelSpec, weights: Weights) -> ModelCard:
    """The card of the weightless models."""
    reranks = spec.place == "reranker"
    return ModelCard(
        name=spec.name,
        source=spec.source,
        dim=1 if reranks else FAKE_DIM,
        max_tokens=FAKE_MAX_TOKENS,
        normalized=not reranks,
        pooling="" if reranks else "sum",
        revision=weights.revision,
        sha256=weights.sha256,
        kind="reranking" if reranks else "embedding",
        activation="sigmoid" if reranks else "identity",
    )


def read_card(spec: ModelSpec, weights: Weights) -> ModelCard:
    """What the files of a sentence-transformers model, or of a plain transformers one, say about it.

    Raises:
        ModelLoadError: a file is missing or broken, or this is no model that can be run.
    """
    try:
        files = ModelFiles.read(weights.folder)
        return (
            _reranking_card(spec, weights, files)
            if files.kind == "reranking"
            else _card(spec, weights, files)
        )
    except ModelLoadError as error:
        raise ModelLoadError(f"model {spec.name!r} in {weights.folder}: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelLoadError(f"the files in {weights.folder} do not describe a model: {error!r}") from error


def _card(spec: ModelSpec, weights: Weights, files: ModelFiles) -> ModelCard:
    if not files.pools_prompt:
        raise ModelLoadError(
            "its pooling leaves out the prompt (include_prompt: false), which is not supported"
        )
    return ModelCard(
        name=spec.name,
        source=spec.source,
        dim=files.dim,
        max_tokens=files.max_tokens,
        normalized=files.normalized,
        pooling="+".join(files.pooling),
        prompts=files.prompts,
        default_prompt_name=files.default_prompt_name,
        revision=weights.revision,
        sha256=weights.sha256,
    )


def _reranking_card(spec: ModelSpec, weights: Weights, files: ModelFiles) -> ModelCard:
    if not files.architecture.endswith("ForSequenceClassification") or len(files.modules) > 1:
        kinds = [kind for kind, _ in files.modules]
        raise ModelLoadError(
            f"its reranker is a {files.architecture} with {kinds}; a classifier alone can be run"
        )
    if len(files.labels) != 1:
        raise ModelLoadError(f"it has the labels {', '.join(files.labels)}; a reranker has one")
    return ModelCard(
        name=spec.name,
        source=spec.source,
        dim=1,
        max_tokens=files.max_tokens,
        normalized=False,
        pooling="",
        prompts=files.prompts,
        default_prompt_name=files.default_prompt_name,
        revision=weights.revision,
        sha256=weights.sha256,
        kind="reranking",
        activation=files.activation,
    )
