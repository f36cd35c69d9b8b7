"""The files that say what a model is, read; what is wrong with one is told with its path."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedd.errors import ModelLoadError


def read_text(path: Path) -> str:
    """All of a file.

    Raises:
        ModelLoadError: it is missing, or cannot be read.
    """
    try:
        return path.read_text("utf-8")
    except FileNotFoundError as error:
        raise ModelLoadError(f"{path} is missing") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ModelLoadError(f"{path} cannot be read: {error}") from error


def read_json(path: Path, default: Any = None) -> Any:
    """What a file holds, or ``default`` where it is missing and there is one.

    Raises:
        ModelLoadError: as in ``read_text``.
    """
    if default is not None and not path.exists():
        return default
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise ModelLoadError(f"{path} cannot be read: {error}") from error


def read_object(path: Path, *, optional: bool = False) -> Mapping[str, Any]:
    """The object that a file holds; an empty one for an ``optional`` file that is missing.

    Raises:
        ModelLoadError: as in ``read_text``, or it holds something else.
    """
    content = read_json(path, {} if optional else None)
    if not isinstance(content, dict):
        raise ModelLoadError(f"{path} holds no JSON object")
    return content
