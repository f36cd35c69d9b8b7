"""Chroma's own client, in Chroma's own environment."""

import time
from typing import Any

import chromadb
import numpy as np

from harness import vector_rows as rows
from harness.sides.callers import run_callers
from harness.sides.serving import begin, serve

INCLUDE = ["documents", "metadatas", "distances"]


class ChromaSide:
    """``vectors`` and ``questions``: files of arrays (n, dim)."""

    def __init__(self, port: int, vectors: str, questions: str, **_: Any) -> None:
        self._client = chromadb.HttpClient("127.0.0.1", port)
        self._vectors, self._questions = np.load(vectors), np.load(questions)
        self._collection = self._client.create_collection(
            "rows",
            configuration={
                "hnsw": {
                    "space": "cosine",
                    "max_neighbors": rows.M,
                    "ef_construction": rows.EF_CONSTRUCTION,
                    "ef_search": rows.EF,
                }
            },
            embedding_function=None,
        )

    def describe(self) -> dict[str, Any]:
        return {"id": str(self._collection.id), "settings": self._collection.configuration_json["hnsw"]}

    def insert(self) -> dict[str, Any]:
        """Rows enter its index as they are written."""
        began = time.perf_counter()
        for start in range(0, len(self._vectors), rows.ROWS_PER_WRITE):
            some = range(start, min(start + rows.ROWS_PER_WRITE, len(self._vectors)))
            self._collection.add(
                ids=[rows.id_of(row) for row in some],
                embeddings=self._vectors[some.start : some.stop],
                documents=[rows.text_of(row) for row in some],
                metadatas=[rows.metadata_of(row) for row in some],
            )
        seconds = time.perf_counter() - began
        return {"written_s": seconds, "ready_s": seconds}

    def answers(self, kind: str) -> dict[str, Any]:
        """The ids that each question finds."""
        return {"ids": [self._ask(number, kind)["ids"][0] for number in range(len(self._questions))]}

    def closed(self, kind: str, clients: int, seconds: float, first: int) -> dict[str, Any]:
        return run_callers(lambda n: self._ask(n, kind), clients=clients, seconds=seconds, first=first)

    def _ask(self, number: int, kind: str) -> Any:
        return self._collection.query(
            query_embeddings=self._questions[number % len(self._questions)][None],
            n_results=rows.K,
            where=rows.metadata_filter(kind),
            include=INCLUDE,
        )


def main() -> None:
    side = ChromaSide(**begin())
    serve(
        {
            "describe": side.describe,
            "insert": side.insert,
            "answers": side.answers,
            "closed": side.closed,
        }
    )


if __name__ == "__main__":
    main()
