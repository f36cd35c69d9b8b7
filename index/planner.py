"""Which way to the nearest rows: all of them exactly, or the graph and then what it lacks.

Pure arithmetic. Every plan gives ``min(k, matches)`` rows; they differ in cost and, by the graph's recall,
in what a row near the end of the list is. The unit of cost is one row scored in a scan.
"""

import math
from typing import Final

# A candidate of the graph costs about as much as so many rows of a scan: it is a cache miss, and has M
# neighbours. Measured on 2 cores with 60,000 rows of 384 dimensions: 0.3 ms at ef=200, 0.65 at 520 and 1.5 at
# 1,040, while a scan takes 70 to 120 ns a row.
ROWS_PER_CANDIDATE: Final = 20
MIN_EF: Final = 100
# Scoring rows that lie apart, against rows that lie side by side.
GATHERED_ROW: Final = 2
# The last of a search's candidates are the least certain, and under a filter any of them may be a hit. Where
# half, a fifth and a tenth of the rows match, recall@10 is .989, .989 and .997 with a width of 100, 130 and
# 260, and .997, .999 and 1 with 208, 520 and 520.
FILTERED_WIDTH: Final = 5
# Filtered candidates are fetched with this margin over the number expected to do: at 1.3 one search of seven
# has too few and falls back on a scan, at 2 one of three hundred.
MARGIN: Final = 2.0


def candidates_to_fetch(k: int, matches: int, rows: int) -> int:
    """How many of the best of all rows should have ``k`` among them that match."""
    return math.ceil(k if matches >= rows else MARGIN * k * rows / max(matches, 1))


def more_candidates(candidates: int, found: int, wanted: int) -> int:
    """How many to fetch when so many candidates had only ``found`` (some) of the ``wanted`` matches: at least
    twice as many, and more where the matches are rarer near the query than elsewhere.
    """
    return math.ceil(candidates * max(2.0, MARGIN * wanted / found))


def ef_of(candidates: int, *, filtered: bool) -> int:
    """How widely the graph should be searched for so many candidates."""
    return max(FILTERED_WIDTH * candidates if filtered else candidates, MIN_EF)


def graph_pays(ef: int, candidates: int, in_graph: int, scan: int) -> bool:
    """Whether a graph search is cheaper than a scan of that cost."""
    return candidates <= in_graph and ef * ROWS_PER_CANDIDATE < scan


def scan_cost(matches: int, rows: int) -> int:
    """Of scoring the ``matches`` among so many rows: they are gathered, or all rows are scored."""
    return min(rows, GATHERED_ROW * matches)
