"""What a request took and what was cut, as responses tell it.

The headers are those that TEI's clients read: counts, and whole milliseconds.

https://github.com/huggingface/text-embeddings-inference, router/src/lib.rs
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec import UNSET, UnsetType

from api.http.routing import COMPUTE_TOKENS
from api.schemas import CutQuery, TruncatedInput
from api.services.rerank import Ranking
from embedd.embedder import StageTimes, Truncated

TRUNCATED_INPUTS = "x-truncated-inputs"

_MOST_LISTED = 500
"""Many clients and proxies take no header of more than 4,096 or 8,190 bytes."""


@dataclass(frozen=True, slots=True)
class Work:
    """What was done for a request, on ``device``; ``characters`` are code points, or ids where ids came."""

    device: str
    characters: int
    tokens: int
    times: StageTimes
    truncated: Sequence[Truncated]


def ranking_work(ranking: Ranking, query: str, texts: Sequence[str]) -> Work:
    """What a ranking took; TEI counts the query once for every text."""
    characters = len(texts) * len(query) + sum(map(len, texts))
    return Work(ranking.device, characters, ranking.tokens, ranking.times, ranking.truncated)


def headers_of(work: Work, began: float) -> Mapping[str, str]:
    """The headers of an answer to a request that began at ``time.perf_counter() == began``."""
    total = _milliseconds(time.perf_counter() - began)
    headers = {
        "x-compute-type": work.device,
        "x-compute-time": total,
        "x-compute-characters": str(work.characters),
        COMPUTE_TOKENS: str(work.tokens),
        "x-total-time": total,
        "x-tokenization-time": _milliseconds(work.times.tokenize_s),
        "x-queue-time": _milliseconds(work.times.queue_s),
        "x-inference-time": _milliseconds(work.times.forward_s),
    }
    return headers | truncation_header(work.truncated)


def truncation_header(truncated: Sequence[Truncated]) -> dict[str, str]:
    """Which inputs were cut, the first of very many; nothing if none was."""
    if not truncated:
        return {}
    listed = [str(one.index) for one in truncated[:_MOST_LISTED]]
    more = ["..."] if len(truncated) > _MOST_LISTED else []
    return {TRUNCATED_INPUTS: ",".join(listed + more)}


def describe_truncated(truncated: Sequence[Truncated]) -> list[TruncatedInput] | UnsetType:
    """The inputs that were cut, as answers tell them; UNSET if none was."""
    return [
        TruncatedInput(one.index, one.tokens, one.kept, UNSET if one.exact else True) for one in truncated
    ] or UNSET


def describe_cut_query(cut: Truncated | None) -> CutQuery | UnsetType:
    """What was left of a query, as answers tell it; UNSET if all of it."""
    return UNSET if cut is None else CutQuery(cut.tokens, cut.kept, UNSET if cut.exact else True)


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))
