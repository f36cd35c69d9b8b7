"""Which way to the nearest rows: all of them exactly, or the graph and then what it lacks.

Pure arithmetic. Every plan gives ``min(k, matches)`` rows; they differ in cost and, by the graph's recall,
in what a row near the end of the list is. The unit of cost is one row scored in a scan of float32 vectors.
"""

import math
from dataclasses import dataclass
from typing import Final

# At 100 the graph of 100,000 real embeddings misses the whole neighbourhood of one question in seventy
# (recall@10 .983), at 128 of none (.998). More rows take more: of 400,000 grown from real ones 128 finds .963
# of the ten nearest, 192 .977, 256 .991; of a million 128 finds .91.
MIN_EF: Final = 128
ROWS_OF_MIN_EF: Final = 100_000
# A row that the graph compares costs about as much as so many rows of a scan: it lies anywhere in memory.
ROWS_PER_COMPARED: Final = 3
# So many rows the graph compares for each of the ``ef`` that it keeps, if all of them count.
COMPARED_PER_KEPT: Final = 12
# Scoring rows that lie apart, against rows that lie side by side.
GATHERED_ROW: Final = 2
# A row in a scan of codes, those included that are scored after all: from .35 where all rows count to .65
# where few do, or all are far.
CODED_ROW: Final = 0.6
# Under a filter the graph goes on until it has kept ``ef`` rows that match. Where these are as common near
# the query as elsewhere, it compares about as many as expected; where they are rarer, it is given up when it
# has compared so many times that number, or cost so large a part of a scan.
PATIENCE: Final = 2
PART_OF_A_SCAN: Final = 0.75
# Where fewer than this part of what should match does, nothing near the query does: that shows soon.
HOPELESS: Final = 0.1
# The graph's eight-bit vectors misplace rows that are almost equally near: so many more are scored. Over
# 100,000 real embeddings five more are as good as any number of them.
OVERSAMPLING: Final = 1.5
LEAST_MORE: Final = 10


def candidates_to_fetch(k: int, *, quantised: bool) -> int:
    """How many rows the graph should give, of which the table finds the best."""
    return max(math.ceil(OVERSAMPLING * k), k + LEAST_MORE) if quantised else k


def ef_of(candidates: int, rows: int) -> int:
    """How widely a graph of so many rows should be searched for so many candidates."""
    return max(candidates, math.ceil(MIN_EF * math.sqrt(max(1.0, rows / ROWS_OF_MIN_EF))))


@dataclass(frozen=True, slots=True)
class Limits:
    """When the graph gives a search up: it has compared more than ``most`` rows, or kept fewer than the part
    ``least`` of those.
    """

    most: int = 2**63 - 1
    least: float = 0.0


def limits_of(ef: int, matches: int, rows: int, scan: int) -> Limits | None:
    """Until when the graph may look for ``ef`` rows before scanning is the better way; None if it is from the
    start.

    ``matches`` of the graph's ``rows`` count; a scan of them costs ``scan``.
    """
    expected = COMPARED_PER_KEPT * ef * rows / max(matches, 1)
    if matches < ef or ROWS_PER_COMPARED * expected > PART_OF_A_SCAN * scan:
        return None
    most = min(PATIENCE * expected, PART_OF_A_SCAN * scan / ROWS_PER_COMPARED)
    return Limits(math.ceil(most), HOPELESS * matches / rows)


def scan_cost(matches: int, rows: int, coded: int = 0) -> int:
    """Of scoring the ``matches`` among so many rows, of which so many have codes: they are gathered, or all
    rows are scored.
    """
    share = coded / max(rows, 1)
    return math.ceil(min(rows, GATHERED_ROW * matches) * (1 - share * (1 - CODED_ROW)))
