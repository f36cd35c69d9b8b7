"""Every setting as a flag, made from the settings themselves so that the two cannot drift apart."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from api.settings import Settings, SettingsError, flag_of, load_settings


class ConfigurationError(click.ClickException):
    """A flag, a variable or the settings file is wrong; ends with the exit code of wrong usage."""

    exit_code = 2


def setting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """A flag per setting; those that are not given reach the command as None."""
    for name, field in reversed(Settings.model_fields.items()):
        command = click.option(
            flag_of(name), name, default=None, metavar=_metavar(field), help=_help(name, field)
        )(command)
    return command


def settings_from(flags: Mapping[str, object]) -> Settings:
    """The settings that these flags, the environment and the file add up to.

    Raises:
        ConfigurationError: something in them cannot be used.
    """
    try:
        return load_settings(flags)
    except SettingsError as error:
        raise ConfigurationError(str(error)) from error


def _metavar(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return "|".join(get_args(field.annotation))
    if isinstance(field.default, bool):
        return "true|false"
    numbers = isinstance(field.default, int | float) or int in _kinds(field.annotation)
    return "NUMBER" if numbers else "TEXT"


def _kinds(annotation: Any) -> set[Any]:
    """The plain types in an annotation such as ``Annotated[int, Ge(1)] | None``."""
    parts = get_args(annotation)
    return {kind for part in parts for kind in _kinds(part)} if parts else {annotation}


def _help(name: str, field: FieldInfo) -> str:
    shown = "" if field.default in (None, ()) else f"  [default: {_written(field.default)}]"
    return f"{field.description}.  [env: EMBEDD_{name.upper()}]{shown}"


def _written(default: object) -> str:
    """As one would give it."""
    return str(default).lower() if isinstance(default, bool) else str(default)
