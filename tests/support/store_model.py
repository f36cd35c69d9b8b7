"""A collection in plain Python and numpy: what a store must hold after a history of writes."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from index.filter_match import matches
from index.filters import parse_filter
from index.rows import Document, Passage

DIM = 4


@dataclass(frozen=True, slots=True)
class Known:
    """A document as it must be. ``written`` counts the writes of all: the points of a later one are behind
    in a scroll.
    """

    seed: int
    vectors: np.ndarray
    metadata: dict[str, Any]
    version: int
    written: int

    @property
    def group(self) -> int:
        return self.metadata["group"]


@dataclass(slots=True)
class Model:
    """``documents`` are in the order in which they were written."""

    documents: dict[str, Known] = field(default_factory=dict)
    writes: int = 0

    def version_of(self, name: str) -> int:
        return self.documents[name].version if name in self.documents else 0

    def upsert(self, documents: Iterable[Document], seed: int) -> None:
        for document in {document.id: document for document in documents}.values():
            self.writes += 1
            version = self.version_of(document.id) + 1
            self.documents.pop(document.id, None)
            rows = vectors_of(seed, len(document.passages))
            self.documents[document.id] = Known(seed, rows, dict(document.metadata), version, self.writes)

    def patch(self, name: str, metadata: Mapping[str, Any]) -> Known:
        known = self.documents[name]
        merged = known.metadata | metadata
        self.documents[name] = replace(known, metadata=merged, version=known.version + 1)
        return self.documents[name]

    def delete(self, names: Iterable[str]) -> None:
        gone = set(names)
        self.documents = {name: known for name, known in self.documents.items() if name not in gone}

    def matching(self, condition: dict[str, Any] | None) -> dict[str, Known]:
        tree = parse_filter(condition or {})
        return {name: known for name, known in self.documents.items() if matches(tree, name, known.metadata)}

    def behind(self, written: int, passage: int) -> list[str]:
        """The points that a scroll meets behind this one."""
        return [
            id_
            for name, known in self.documents.items()
            for n, id_ in enumerate(points_of({name: known}))
            if (known.written, n) > (written, passage)
        ]


def points_of(documents: Mapping[str, Known]) -> dict[str, np.ndarray]:
    """The vector of every point of these documents, by its id and in the order of a scroll."""
    return {
        name if _is_point(name) else f"{name}#{n}": row
        for name, known in documents.items()
        for n, row in enumerate(known.vectors)
    }


def vectors_of(seed: int, size: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(size, DIM)).astype(np.float32)


def document_of(name: str, seed: int, size: int, **fields: Any) -> Document:
    """With so many passages, or one if the name begins with "p", which stands for a point."""
    passages = tuple(
        Passage(f"word{seed}", 0, 9, vector, token_vectors=vector.tobytes() if seed % 2 else None)
        for vector in vectors_of(seed, 1 if _is_point(name) else size)
    )
    metadata = {"group": seed % 3, "tags": [f"tag{seed % 2}"]}
    return Document(name, name, f"word{seed}", metadata, passages, is_point=_is_point(name), **fields)


def copy_as_it_lies(data: Path, target: Path) -> None:
    """The files of a data folder that is in use; those that go meanwhile were about to."""
    for path in [path for path in data.rglob("*") if path.is_file()]:
        place = target / path.relative_to(data)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(path, place)
        except FileNotFoundError:
            continue


def _is_point(name: str) -> bool:
    return name.startswith("p")
