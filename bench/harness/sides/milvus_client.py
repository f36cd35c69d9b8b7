"""Milvus' own client before a milvus-lite server, in their own environment."""

import time
from typing import Any

import numpy as np
from pymilvus import DataType, MilvusClient

from harness import vector_rows as rows
from harness.sides.callers import run_callers
from harness.sides.serving import begin, serve

NAME = "rows"
METRIC = "COSINE"
LONGEST_ID = 512
LONGEST_TEXT = 1_000


class MilvusSide:
    """``vectors`` and ``questions``: files of arrays (n, dim)."""

    def __init__(self, port: int, vectors: str, questions: str, **_: Any) -> None:
        self._client = MilvusClient(uri=f"http://127.0.0.1:{port}")
        self._vectors, self._questions = np.load(vectors), np.load(questions)
        schema = MilvusClient.create_schema()
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=LONGEST_ID)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self._vectors.shape[1])
        schema.add_field("text", DataType.VARCHAR, max_length=LONGEST_TEXT)
        for key in rows.metadata_keys():
            schema.add_field(key, DataType.INT64)
        self._client.create_collection(NAME, schema=schema)

    def describe(self) -> dict[str, Any]:
        return {
            "settings": {
                key: str(value) for key, value in self._client.describe_index(NAME, "vector").items()
            }
        }

    def insert(self) -> dict[str, Any]:
        """Loading builds the indexes of what was flushed, and returns when they are whole."""
        began = time.perf_counter()
        for start in range(0, len(self._vectors), rows.ROWS_PER_WRITE):
            some = range(start, min(start + rows.ROWS_PER_WRITE, len(self._vectors)))
            self._client.insert(NAME, [self._row(row) for row in some])
        written = time.perf_counter() - began
        self._client.flush(NAME)
        self._client.create_index(NAME, self._indexes())
        self._client.load_collection(NAME)
        return {"written_s": written, "ready_s": time.perf_counter() - began}

    def _row(self, row: int) -> dict[str, Any]:
        known = {"id": rows.id_of(row), "vector": self._vectors[row], "text": rows.text_of(row)}
        return known | rows.metadata_of(row)

    def _indexes(self) -> Any:
        indexes = self._client.prepare_index_params()
        building = {"M": rows.M, "efConstruction": rows.EF_CONSTRUCTION}
        indexes.add_index("vector", index_type="HNSW", metric_type=METRIC, params=building)
        for key in rows.metadata_keys():
            indexes.add_index(key, index_type="INVERTED")
        return indexes

    def answers(self, kind: str) -> dict[str, Any]:
        """The ids that each question finds."""
        found = [self._ask(number, kind)[0] for number in range(len(self._questions))]
        return {"ids": [[hit["id"] for hit in hits] for hits in found]}

    def closed(self, kind: str, clients: int, seconds: float, first: int) -> dict[str, Any]:
        return run_callers(lambda n: self._ask(n, kind), clients=clients, seconds=seconds, first=first)

    def _ask(self, number: int, kind: str) -> Any:
        condition = rows.metadata_filter(kind) or {}
        return self._client.search(
            NAME,
            data=[self._questions[number % len(self._questions)]],
            filter=" and ".join(f"{key} == {value}" for key, value in condition.items()),
            limit=rows.K,
            output_fields=["text", *rows.metadata_keys()],
            search_params={"metric_type": METRIC, "params": {"ef": rows.EF}},
        )


def main() -> None:
    side = MilvusSide(**begin())
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
