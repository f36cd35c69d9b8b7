"""Client-supplied vectors in a running service, and what is sent to it. Pure but for ``fill``."""

import base64
import time
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.client import Client
from harness.sides.load import STAMP
from harness.vector_rows import ROWS_PER_WRITE, K, id_of, metadata_filter, metadata_of, text_of

Matrix: TypeAlias = npt.NDArray[np.float32]

NAME = "rows"


def search_path() -> str:
    return f"/v1/collections/{NAME}/search"


def points_path() -> str:
    return f"/v1/collections/{NAME}/points"


def encoded(vector: Matrix) -> str:
    """A vector (dim,) in the fewest bytes that JSON can have."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def point(row: int, vector: Matrix) -> dict[str, Any]:
    return {"id": id_of(row), "vector": encoded(vector), "text": text_of(row), "metadata": metadata_of(row)}


async def fill(client: Client, vectors: Matrix) -> float:
    """Seconds until all rows were acknowledged, one request at a time."""
    began = time.perf_counter()
    for start in range(0, len(vectors), ROWS_PER_WRITE):
        some = range(start, min(start + ROWS_PER_WRITE, len(vectors)))
        await client.add_points(NAME, [point(row, vectors[row]) for row in some])
    return time.perf_counter() - began


def search_bodies(questions: Matrix, kind: str) -> list[dict[str, Any]]:
    """A search for each question; hits come with text and metadata unless told otherwise."""
    condition = metadata_filter(kind)
    filtered = {} if condition is None else {"filter": condition}
    return [{"vector": encoded(question), "k": K} | filtered for question in questions]


def replacing_bodies(vectors: Matrix, size: int) -> list[dict[str, Any]]:
    """Every row written anew, ``size`` of them a request; what is left over is left out."""
    starts = range(0, len(vectors) - size + 1, size)
    return [{"points": [point(row, vectors[row]) for row in range(s, s + size)]} for s in starts]


def adding_bodies(vectors: Matrix, size: int) -> list[dict[str, Any]]:
    """The same with ids that are new whenever they are sent."""
    bodies = replacing_bodies(vectors, size)
    return [{"points": [renamed(one, n) for n, one in enumerate(body["points"])]} for body in bodies]


def renamed(point: dict[str, Any], number: int) -> dict[str, Any]:
    return point | {"id": f"new-{STAMP.decode()}-{number}"}


def chroma_bodies(questions: Matrix, kind: str) -> list[dict[str, Any]]:
    """The same searches for Chroma, which takes vectors as lists alone."""
    include = ["documents", "metadatas", "distances"]
    asked = [{"query_embeddings": [row.tolist()], "n_results": K, "include": include} for row in questions]
    condition = metadata_filter(kind)
    return asked if condition is None else [body | {"where": condition} for body in asked]


def ids_of(answer: dict[str, Any]) -> list[str]:
    return [hit["id"] for hit in answer["hits"]]


def chroma_ids_of(answer: dict[str, Any]) -> list[str]:
    ids: list[str] = answer["ids"][0]
    return ids


def mean_recall(found: Sequence[Sequence[str]], expected: Sequence[Sequence[int]]) -> float:
    """Which part of the nearest rows was found, over all questions together."""
    wanted = [{id_of(row) for row in rows} for rows in expected]
    hits = sum(len(rows & set(ids)) for ids, rows in zip(found, wanted, strict=True))
    return hits / sum(map(len, wanted))
