"""Texts whose only purpose is to be embedded: paragraphs of four books, of mixed lengths."""

from itertools import islice
from pathlib import Path

from harness.corpora import read_jsonl


def load_texts(data: Path, count: int) -> list[str]:
    """The first ``count`` texts of the throughput set, which is shuffled: any part has the same lengths."""
    rows = read_jsonl(data / "throughput" / "passages.jsonl.gz")
    return [row["text"] for row in islice(rows, count)]
