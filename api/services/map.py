"""A collection seen from above: its passages as points of a plane, near each other where they mean alike.

The plane is spanned by the two principal components of the vectors, so every other vector, a question's
say, has its place on it as well: ``place = axes @ (vector - mean)``. UMAP and t-SNE draw clearer islands, but
a new vector has no place on their maps. The same passages always make the same map.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from index.codec import searchable
from index.rows import StoredPoint, Vector
from index.store import Store

Plane = npt.NDArray[np.float32]
"""Places, (n, 2)."""

_OVERSAMPLED: Final = 8
_ITERATIONS: Final = 12
_SEED: Final = 6


@dataclass(frozen=True, slots=True)
class Projection:
    """How a vector finds its place: less ``mean`` (dim,), along ``axes`` (2, dim). Vectors of a collection
    under cosine are brought to length one before. ``explained`` (2,) is each axis' share of the variance.
    """

    mean: Vector
    axes: Vector
    explained: npt.NDArray[np.float64]

    def places(self, vectors: Vector) -> Plane:
        """Of ``vectors`` (n, dim), scaled as the collection's are searched."""
        return np.asarray((vectors - self.mean) @ self.axes.T, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class CollectionMap:
    """``points`` and their ``places`` (n, 2), of ``total`` points that the collection has."""

    points: tuple[StoredPoint, ...]
    places: Plane
    projection: Projection
    total: int


async def draw_map(store: Store, limit: int) -> CollectionMap:
    """The map of a collection, by ``limit`` points spread evenly over it where it has more.

    Raises:
        StoreError: the collection cannot be read.
    """
    total, points = await store.count(), await store.sample(limit)
    projection, places = await asyncio.to_thread(_project, points, store)
    return CollectionMap(tuple(points), places, projection, total)


def _project(points: Sequence[StoredPoint], store: Store) -> tuple[Projection, Plane]:
    rows = [point.vector for point in points if point.vector is not None]
    matrix = np.array(rows, dtype=np.float32).reshape(len(rows), store.settings.dim)
    vectors = searchable(matrix, store.settings.metric)
    projection = principal_plane(vectors)
    return projection, projection.places(vectors)


def principal_plane(vectors: Vector) -> Projection:
    """The plane on which ``vectors`` (n, dim) differ most, scaled so that all their places lie within a
    square from -1 to 1.

    By subspace iteration (Halko, Martinsson and Tropp, 2011, algorithm 4.4): a few thin products, where the
    eigenvectors of a covariance of 4,096 dimensions would take seconds. Exact up to the rounding of float32
    where the spectrum falls off after two components, and close to it elsewhere.
    """
    count, dim = vectors.shape
    mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32) if count else np.zeros(dim, np.float32)
    axes, variances = _leading_axes(vectors - mean)
    scale = float(np.abs((vectors - mean) @ axes.T).max(initial=0.0)) or 1.0
    total = float(np.square(vectors - mean, dtype=np.float64).sum())
    return Projection(mean, (axes / scale).astype(np.float32), variances / total if total else np.zeros(2))


def _leading_axes(centred: Vector) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The two leading right singular vectors (2, dim), zeros where there are fewer, and the squares of their
    singular values (2,).
    """
    dim = centred.shape[1]
    width = min(dim, 2 + _OVERSAMPLED)
    basis = np.linalg.qr(np.random.default_rng(_SEED).normal(size=(dim, width)))[0].astype(np.float32)
    for _ in range(_ITERATIONS):
        basis = np.linalg.qr(centred.T @ (centred @ basis))[0].astype(np.float32)
    _, singular, turned = np.linalg.svd((centred @ basis).astype(np.float64), full_matrices=False)
    found = min(2, len(singular))
    axes, variances = np.zeros((2, dim)), np.zeros(2)
    axes[:found] = _upright(turned[:found] @ basis.T)
    variances[:found] = np.square(singular[:found])
    return axes, variances


def _upright(axes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Singular vectors have no sign of their own: here the largest number of each is positive."""
    largest = axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)]
    return axes * np.where(largest < 0, -1.0, 1.0)[:, None]
