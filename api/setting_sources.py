"""Where the value of each setting comes from, for whoever wonders why a service does what it does.

Invariant: nothing secret is shown. That is the user and every password of a URL, and each setting whose field
says ``repr=False``.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from api.settings import FILE_KEYS, Settings, flag_of, load_settings, set_variables
from api.settings_file import nearest_setting, read_file

MASK = "***"

_SECRETS_OF_URL = re.compile(r"(?<=://)[^/\s@]+(?=@)|(?<=password=)[^&\s,'\"]+")
# Kubernetes sets these in every pod beside a service of this name; upstreams' keys are no settings.
_OF_OTHERS = re.compile(r"(PORT|SERVICE)_.*|KEY_.*|URL|API_KEY")


@dataclass(frozen=True, slots=True)
class Value:
    """A setting as it stands; its ``source`` is a flag, a variable, the file or ``default``."""

    name: str
    value: str
    source: str


def values(flags: Mapping[str, object]) -> list[Value]:
    """All settings in their order.

    Raises:
        SettingsError: something in them cannot be used.
    """
    settings = load_settings(flags)
    return [Value(name, shown(name, getattr(settings, name)), source) for name, source in _sources(flags)]


def shown(name: str, value: Any) -> str:
    """``value`` as one would write it into the file, in one line, with nothing secret in it."""
    if value is None or value == ():
        return ""
    if not Settings.model_fields[name].repr:
        return MASK
    return _SECRETS_OF_URL.sub(MASK, _in_yaml(value))


def stray_variables() -> Iterator[str]:
    """What is wrong with each ``EMBEDD_`` variable that looks like a setting's and is none."""
    for key in sorted(set_variables()):
        if key not in Settings.model_fields and not _OF_OTHERS.fullmatch(key.upper()):
            meant = nearest_setting(key, FILE_KEYS)
            yield f"the variable EMBEDD_{key.upper()} is no setting and is ignored; {meant}"


def example() -> str:
    """A settings file that says what there is, all of it commented out at its default."""
    lines = ["# Settings of embedd, each at its default. What is left out stays so.", ""]
    for name, field in Settings.model_fields.items():
        if name != "config":
            default = "" if field.default is None else f" {_in_yaml(field.default)}"
            lines += [f"# {field.description}", f"#{name}:{default}", ""]
    return "\n".join(lines)


def _sources(flags: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    given = {name for name, value in flags.items() if value is not None}
    variables = set_variables()
    config = flags.get("config") or variables.get("config")
    file = read_file(Path(str(config)), FILE_KEYS) if config else {}
    for name in Settings.model_fields:
        if name in given:
            yield name, f"flag {flag_of(name)}"
        elif name in variables:
            yield name, f"variable EMBEDD_{name.upper()}"
        elif name in file:
            yield name, f"file {config}"
        else:
            yield name, "default"


def _in_yaml(value: Any) -> str:
    plain = list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
    text: str = yaml.safe_dump(plain, default_flow_style=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")
