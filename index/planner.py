"""Which way to the nearest rows: all of them exactly, or the graph and then what it lacks.

Pure arithmetic. Every plan gives ``min(k, matches)`` rows; they differ in cost and, by the graph's recall,
in what a row near the end of the list is. The unit of cost is one row scored in a scan.
"""

import math
from typing import Final

# One candidate of the graph costs about as much as so many rows of a scan: it is a cache miss, and has M
# neighbours. Measured on 2 cores with 384 dimensions, whole searches: of 5,000 rows 0.43 ms by scan and
# 0.42 ms by graph (ef=100), of 19,000 rows 1.66 and 0.61 ms.
ROWS_PER_CANDIDATE: Final = 40
MIN_EF: Final = 100
# Filtered candidates are fetched with this margin over the number expected to do.
MARGIN: Final = 1.3


def candidates_to_fetch(k: int, matches: int, rows: int) -> int:
    """How many neighbours of the whole graph should have ``k`` among them that match."""
    return math.ceil(k if matches >= rows else MARGIN * k * rows / max(matches, 1))


def graph_pays(candidates: int, in_graph: int, matches: int) -> bool:
    """Whether a graph search for so many candidates is cheaper than scoring all ``matches``."""
    return candidates <= in_graph and max(candidates, MIN_EF) * ROWS_PER_CANDIDATE < matches
