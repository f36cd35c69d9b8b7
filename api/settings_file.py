"""Reading the file that settings may stand in, and saying what is wrong with it.

Does not know which settings there are.
"""

import difflib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml


class SettingsError(Exception):
    """The configuration cannot be used; the message names the flag, variable or file and says what to do."""


def read_file(path: Path, known: Collection[str]) -> dict[str, Any]:
    """What a settings file says, whose keys may be the ``known`` ones.

    Raises:
        SettingsError: it cannot be read, or has other keys.
    """
    path = path.expanduser()
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read the settings file {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings file {path} is not YAML: {_in_one_line(error)}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"the settings file {path} must hold 'name: value' lines, such as 'port: 8080'")
    _refuse_unknown_keys(path, content, known)
    return content


def _refuse_unknown_keys(path: Path, content: Mapping[object, object], known: Collection[str]) -> None:
    problems = [
        f"the settings file {path} has the unknown key '{key}'; {nearest_setting(str(key), known)}"
        for key in content
        if key not in known
    ]
    if problems:
        raise SettingsError("\n".join(problems))


def nearest_setting(key: str, known: Collection[str]) -> str:
    """Which of the ``known`` settings may have been meant by ``key``, which is none of them."""
    names = sorted(known)
    found = difflib.get_close_matches(key.lower().replace("-", "_"), names, n=1, cutoff=0.5)
    return f"did you mean '{found[0]}'?" if found else f"known keys: {', '.join(names)}"


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())
