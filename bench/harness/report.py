"""The end of every bench: where it ran, its JSON file, its table."""

import json
import os
import platform
import re
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.options import REPOSITORY

NARROWEST = 110
"""Columns that a table may take where standard output is no terminal."""

LIBRARIES = (
    "aiohttp",
    "hnswlib",
    "numpy",
    "sentence-transformers",
    "tokenizers",
    "torch",
    "transformers",
    "uvloop",
)


def machine() -> dict[str, Any]:
    """What the figures depend on besides the settings; the load average shows whether others were at work."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
        "revision": revision(),
        "load_average": os.getloadavg(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def processor() -> str:
    """The processor's own name where Linux tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return named.group(1) if named else platform.machine()


def revision() -> str:
    """The commit that was measured, marked where the working tree differs from it; empty outside git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        described = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return described.stdout.strip()


def write(
    out: Path, figures: Mapping[str, Any], settings: Mapping[str, Any], machine: Mapping[str, Any]
) -> None:
    """Writes the result file and says where it is."""
    out.parent.mkdir(parents=True, exist_ok=True)
    result = {"figures": figures, "settings": settings, "machine": machine}
    out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"written: {out}")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table whose first column is text and whose others are numbers."""
    table = Table()
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    print(f"\n{title}")
    Console(width=max(Console().width, NARROWEST)).print(table)
