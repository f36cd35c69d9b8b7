"""Jupyter notebooks (.ipynb) as Markdown: their text as it is, their code and what it printed in fences."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from api.services.extraction import UnreadableFile
from api.services.extraction.extracted import Extracted, join_pages, refuse_blank
from api.services.extraction.guess import decode_any

_BACKTICKS = re.compile(r"`{3,}")
_PLAIN = "text/plain"


def extract_notebook(data: bytes, charset: str | None, *, max_characters: int) -> Extracted:
    """The cells, in order.

    Raises:
        UnreadableFile: no notebook, without text, or too long.
        UndecodableText: in no encoding that is known.
    """
    try:
        notebook = json.loads(decode_any(data, charset))
        language = _language(notebook)
        text, _ = join_pages(
            (part for cell in _cells(notebook) for part in _parts(cell, language)), max_characters
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableFile("broken", f"is damaged or not a notebook ({type(error).__name__})") from error
    return Extracted(refuse_blank(text), None)


def _language(notebook: Mapping[str, Any]) -> str:
    named = notebook.get("metadata", {}).get("language_info", {}).get("name", "")
    return named if isinstance(named, str) and named.isalnum() else ""


def _cells(notebook: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Before version 4 of the format they lay in worksheets."""
    if "cells" in notebook:
        return list(notebook["cells"])
    return [cell for sheet in notebook["worksheets"] for cell in sheet["cells"]]


def _parts(cell: Mapping[str, Any], language: str) -> Iterator[str]:
    source = _joined(cell.get("source", cell.get("input", "")))
    if cell["cell_type"] != "code":
        yield source.strip()
        return
    yield _fenced(source, language)
    for output in cell.get("outputs", []):
        yield _fenced(_joined(output.get("text") or output.get("data", {}).get(_PLAIN, "")), "")


def _joined(lines: Any) -> str:
    return lines if isinstance(lines, str) else "".join(lines)


def _fenced(code: str, language: str) -> str:
    code = code.strip("\n").rstrip()
    longest = max((len(run) for run in _BACKTICKS.findall(code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{code}\n{fence}" if code else ""
