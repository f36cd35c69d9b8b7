"""What the settings of a collection may be, wherever it is kept."""

from dataclasses import fields
from typing import Any, Final

from index.codec import is_unicode
from index.errors import InvalidName, InvalidSettings
from index.files import NAME
from index.rows import CollectionSettings, Quantization

MAX_DIM: Final = 4_096
_METRICS: Final = ("cosine", "dot", "l2")
_TOKEN_FORMATS: Final = (None, "2bit")
_QUANTIZATIONS: Final = (None, "int8", "none")
# From so many dimensions on, embeddings in eight bits lie where they did, but for what is almost as near.
_QUANTISED_DIM: Final = 128


def check_settings(settings: CollectionSettings) -> None:
    """Raises:
    InvalidName, InvalidSettings: there can be no such collection.
    """
    check_name(settings.name)
    if not 1 <= settings.dim <= MAX_DIM:
        raise InvalidSettings(f"dim is {settings.dim}, it must be from 1 to {MAX_DIM}")
    if settings.metric not in _METRICS:
        raise InvalidSettings(f"metric is {settings.metric!r}, it must be one of {', '.join(_METRICS)}")
    check_description(settings.description)
    if settings.token_vectors not in _TOKEN_FORMATS:
        raise InvalidSettings(f"token vectors are kept as '2bit' or not at all: {settings.token_vectors!r}")
    if settings.quantization not in _QUANTIZATIONS:
        raise InvalidSettings(f"quantization is {settings.quantization!r}, it must be 'int8' or 'none'")


def check_name(name: str) -> None:
    """Raises:
    InvalidName: no collection or alias can have it.
    """
    if not NAME.fullmatch(name):
        raise InvalidName(name)


def check_description(description: str) -> None:
    """Raises:
    InvalidSettings: it cannot be kept.
    """
    if not is_unicode(description):
        raise InvalidSettings("the description is not valid Unicode")


def usual_quantization(settings: CollectionSettings) -> Quantization:
    """What a new collection has that is asked for without any."""
    return "int8" if settings.metric == "cosine" and settings.dim >= _QUANTISED_DIM else "none"


def differences(stored: CollectionSettings, asked: CollectionSettings) -> dict[str, tuple[Any, Any]]:
    """The settings that are not the same: of each what is stored, and what was asked for."""
    pairs = {f.name: (getattr(stored, f.name), getattr(asked, f.name)) for f in fields(CollectionSettings)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
