"""Which of the two formats a file is in, and the code for the one that needs an extra."""

import importlib
from types import ModuleType

import click


def is_parquet(file: str, format_: str | None) -> bool:
    """By ``format_``, or else by the file's name.

    Raises:
        click.ClickException: Parquet from or to a stream.
    """
    chosen = file.endswith(".parquet") if format_ is None else format_ == "parquet"
    if chosen and file == "-":
        raise click.ClickException("Parquet is read and written from its end: name a file")
    return chosen


def load_parquet(name: str) -> ModuleType:
    """The module ``api.cli.parquet_<name>``.

    Raises:
        click.ClickException: pyarrow is not installed.
    """
    try:
        importlib.import_module("pyarrow")
    except ImportError as error:
        raise click.ClickException(
            "Parquet needs pyarrow, which is not installed: pip install 'embedd[parquet]'"
        ) from error
    return importlib.import_module(f"api.cli.parquet_{name}")
