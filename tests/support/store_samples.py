"""What the tests of every store write: small documents and points whose content follows from their seeds."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from index.rows import CollectionSettings, Document, Passage, Query, SearchResult, StoredPoint, Vector
from index.store import Store

DIM = 8
PAST = "2001-01-01T00:00:00.000Z"
FUTURE = "2999-01-01T00:00:00.000Z"


def settings_of(name: str = "notes", **fields: Any) -> CollectionSettings:
    return CollectionSettings(**{"name": name, "dim": DIM, "quantization": "none", **fields})


def vector_of(seed: int, dim: int = DIM) -> Vector:
    return np.random.default_rng(seed).normal(size=dim).astype(np.float32)


def document_of(id_: str, *seeds: int, **fields: Any) -> Document:
    """A document of one passage for each seed, whose text is the word "word<seed>"."""
    passages = tuple(
        Passage(f"word{seed}", 8 * n, 8 * n + len(f"word{seed}"), vector_of(seed), tokens=1)
        for n, seed in enumerate(seeds)
    )
    text = "".join(f"word{seed}".ljust(8) for seed in seeds)
    return Document(**{"id": id_, "title": "", "text": text, "metadata": {}, "passages": passages, **fields})


def point_of(id_: str, seed: int = 0, vector: Any = None, text: str | None = None, **fields: Any) -> Document:
    """A point as a client writes it."""
    passage = Passage(text, 0, len(text or ""), vector_of(seed) if vector is None else vector)
    point = {"id": id_, "title": "", "text": None, "metadata": {}, "passages": (passage,), "is_point": True}
    return Document(**point | fields)


def ids_of(found: SearchResult | Iterable[StoredPoint]) -> list[str]:
    return [each.id for each in (found.hits if isinstance(found, SearchResult) else found)]


async def everything_of(store: Store) -> dict[str, Any]:
    """All that reads say of a collection, for comparing one moment with another."""
    points, after = await store.scroll(10_000, with_vectors=True)
    assert after is None
    found = await store.search(Query(10_000, vector=np.ones(store.settings.dim, dtype=np.float32)))
    return {
        "documents": await store.documents(10_000),
        "points": [_plain(point) for point in points],
        "count": await store.count(),
        "found": sorted(ids_of(found)),
        "stamps": await store.stamps([document.id for document in await store.documents(10_000)]),
    }


def _plain(point: StoredPoint) -> tuple[Any, ...]:
    assert point.vector is not None
    return (point.id, point.version, point.text, point.title, point.metadata, point.vector.tobytes())
