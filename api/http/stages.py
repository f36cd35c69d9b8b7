"""What a request took, as response headers that TEI's clients read: counts, and whole milliseconds.

https://github.com/huggingface/text-embeddings-inference, router/src/lib.rs
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from embedd.embedder import StageTimes, Truncated

TRUNCATED_INPUTS = "x-truncated-inputs"


@dataclass(frozen=True, slots=True)
class Work:
    """What was done for a request, on ``device``; ``characters`` are code points, or ids where ids came."""

    device: str
    characters: int
    tokens: int
    times: StageTimes
    truncated: Sequence[Truncated]


def headers_of(work: Work, began: float) -> Mapping[str, str]:
    """The headers of an answer to a request that began at ``time.perf_counter() == began``."""
    total = _milliseconds(time.perf_counter() - began)
    headers = {
        "x-compute-type": work.device,
        "x-compute-time": total,
        "x-compute-characters": str(work.characters),
        "x-compute-tokens": str(work.tokens),
        "x-total-time": total,
        "x-tokenization-time": _milliseconds(work.times.tokenize_s),
        "x-queue-time": _milliseconds(work.times.queue_s),
        "x-inference-time": _milliseconds(work.times.forward_s),
    }
    return headers | truncation_header(work.truncated)


def truncation_header(truncated: Sequence[Truncated]) -> dict[str, str]:
    """Which inputs were cut; nothing if none was."""
    return {TRUNCATED_INPUTS: ",".join(str(one.index) for one in truncated)} if truncated else {}


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))
