"""From what was named on the command line to the files to send, each with its document id.

A folder or a pattern gives ids relative to it (to the part before the first wildcard), a single file its
name. Inside folders and patterns, hidden files and types that the service cannot read are left out and
counted; a file that was named itself is always sent, so that the service says what is wrong with it.

Knows nothing of the service. Nothing is read here but folders.
"""

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import click

from api.cli.client import Upload
from api.services.file_types import EXTENSIONS

SUFFIXES = EXTENSIONS


UNREADABLE = "unreadable folder"
_LINKED = "linked folder"


@dataclass(frozen=True, slots=True)
class Selection:
    """What to send, in a stable order, and how many files were left out for which reason."""

    uploads: tuple[Upload, ...]
    skipped: Counter[str]


def select(names: Sequence[str]) -> Selection:
    """The files behind ``names``: files, folders, searched to the bottom, and patterns (``docs/**/*.md``).

    Raises:
        click.UsageError: a name that leads nowhere, or two files that would become the same document.
    """
    chosen: dict[str, Path] = {}
    skipped: Counter[str] = Counter()
    for name in names:
        for id_, path in _behind(name, skipped):
            if id_ in chosen and not path.samefile(chosen[id_]):
                raise click.UsageError(
                    f"{chosen[id_]} and {path} would both become the document {id_!r}: "
                    "name a folder above both, or ingest them into different collections"
                )
            chosen.setdefault(id_, path)
    return Selection(tuple(Upload(id_, path) for id_, path in chosen.items()), +skipped)


def _behind(name: str, skipped: Counter[str]) -> Iterator[tuple[str, Path]]:
    path = Path(name)
    if path.is_dir():
        yield from _readable(path, _walk(path, skipped), skipped)
    elif path.exists():
        yield path.name, path
    elif glob.has_magic(name):
        yield from _matching(name, skipped)
    else:
        raise click.UsageError(f"{name}: no such file or folder")


def _matching(pattern: str, skipped: Counter[str]) -> Iterator[tuple[str, Path]]:
    found = glob.glob(pattern, recursive=True, include_hidden=True)  # noqa: PTH207 - Path's takes no absolute one
    matches = [Path(match) for match in sorted(found)]
    files = [match for match in matches if match.is_file()]
    if not files:
        raise click.UsageError(f"{pattern}: no file matches this pattern")
    yield from _readable(_fixed_part(pattern), files, skipped)


def _fixed_part(pattern: str) -> Path:
    """``docs`` of ``docs/**/*.md``: the folders before the first wildcard."""
    parts = PurePath(pattern).parts
    wild = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:wild])


def _walk(folder: Path, skipped: Counter[str]) -> Iterator[Path]:
    """Every file below ``folder``; linked folders are not followed, they may lead round in circles."""

    def count(_: OSError) -> None:
        skipped[UNREADABLE] += 1

    for parent, folders, files in os.walk(folder, onerror=count):
        folders.sort()
        skipped[_LINKED] += sum(Path(parent, name).is_symlink() for name in folders)
        for file in sorted(files):
            yield Path(parent, file)


def _readable(
    root: Path, files: Sequence[Path] | Iterator[Path], skipped: Counter[str]
) -> Iterator[tuple[str, Path]]:
    for path in files:
        relative = path.relative_to(root)
        reason = _reason_to_skip(relative)
        if reason:
            skipped[reason] += 1
        else:
            yield relative.as_posix(), path


def _reason_to_skip(relative: PurePath) -> str:
    if any(part.startswith(".") for part in relative.parts):
        return "hidden"
    if relative.suffix.lower() not in SUFFIXES:
        return f"type {relative.suffix.lower()}" if relative.suffix else "no file type"
    return ""
