"""The compiled passes over rows, against numpy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index import _scan
from index.blocks import Block
from index.rows import Metric
from index.vectors import TableView

DIM = 7


def blocks_of(seed: int, sizes: list[int], *, gaps: bool) -> list[Block]:
    """Blocks of so many rows; some do not count. With ``gaps`` seqs are missing between rows."""
    dice = np.random.default_rng(seed)
    made, seq = [], 1
    for size in sizes:
        steps = dice.integers(1, 4 if gaps else 2, size)
        seqs = (seq + np.cumsum(steps)).astype(np.int64)
        seq = int(seqs[-1])
        # A few different vectors, so that many rows are equally near.
        vectors = dice.integers(-2, 3, (size, DIM)).astype(np.float32)
        made.append(Block(vectors, seqs, seqs * 1_000 % 97, dice.random(size) < 0.7))
    return made


def expected(blocks: list[Block], metric: Metric, query: np.ndarray) -> list[tuple[float, int]]:
    """Scores and seqs of all rows that count, best first; of equal ones the older."""
    rows = []
    for block in blocks:
        difference = block.vectors - query
        scores = -np.sqrt((difference**2).sum(axis=1)) if metric == "l2" else block.vectors @ query
        scores = np.clip(scores, -1, 1) if metric == "cosine" else scores
        rows += [
            (float(s), int(n)) for s, n, counts in zip(scores, block.seqs, block.live, strict=True) if counts
        ]
    return sorted(rows, key=lambda row: (-row[0], row[1]))


cases = st.tuples(
    st.integers(0, 10**6), st.lists(st.integers(1, 30), max_size=4), st.booleans(), st.integers(1, 40)
)


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
@given(case=cases, threads=st.integers(1, 3))
def test_the_best_rows_are_found_in_order(
    metric: Metric, case: tuple[int, list[int], bool, int], threads: int
) -> None:
    seed, sizes, gaps, k = case
    blocks = blocks_of(seed, sizes, gaps=gaps)
    query = np.random.default_rng(seed + 1).integers(-2, 3, DIM).astype(np.float32)
    found = TableView(blocks, metric).top(query, k, threads)
    wanted = expected(blocks, metric, query)[:k]
    assert found.seqs.tolist() == [seq for _, seq in wanted]
    np.testing.assert_allclose(found.scores, [score for score, _ in wanted], rtol=1e-6)


@given(case=cases, asked=st.lists(st.integers(-5, 150), max_size=40, unique=True))
def test_rows_that_are_named_are_scored_as_a_scan_scores_them(
    case: tuple[int, list[int], bool, int], asked: list[int]
) -> None:
    seed, sizes, gaps, _ = case
    blocks = blocks_of(seed, sizes, gaps=gaps)
    query = np.random.default_rng(seed + 1).normal(size=DIM).astype(np.float32)
    view = TableView(blocks, "dot")
    everything = view.top(query, sum(sizes))
    named = view.scores_of(np.array(asked, dtype=np.int64), query)
    chosen = np.isin(everything.seqs, asked)
    assert named.seqs.tolist() == everything.seqs[chosen].tolist()
    assert named.scores.tolist() == everything.scores[chosen].tolist()


@given(case=cases, documents=st.sets(st.one_of(st.integers(-3, 100), st.integers(10**9, 10**9 + 5))))
def test_rows_of_some_documents_count_and_no_others(
    case: tuple[int, list[int], bool, int], documents: set[int]
) -> None:
    seed, sizes, gaps, _ = case
    blocks = blocks_of(seed, sizes, gaps=gaps)
    chosen = TableView(blocks, "dot").of_documents(np.array(sorted(documents), dtype=np.int64))
    for block, made in zip(blocks, chosen.blocks, strict=True):
        np.testing.assert_array_equal(made.live, block.live & np.isin(block.documents, sorted(documents)))
    seqs = [block.seqs[block.live] for block in chosen.blocks]
    assert chosen.seqs().tolist() == [int(seq) for part in seqs for seq in part]
    assert len(chosen) == len(chosen.seqs())


def test_arrays_that_do_not_fit_are_refused() -> None:
    (block,) = blocks_of(0, [5], gaps=False)
    query, seqs, scores = np.zeros(DIM, np.float32), np.empty(3, np.int64), np.empty(3, np.float32)
    short = (block.seqs, block.vectors[:4], block.live)
    empty = (block.seqs[:0], block.vectors[:0], block.live[:0])
    keyed = (block.seqs, block.documents, block.live)
    with pytest.raises(ValueError, match="fit"):
        _scan.top([short], _scan.DOT, query, 1, seqs, scores)
    with pytest.raises(ValueError, match="fit"):
        _scan.score([empty], _scan.DOT, query, seqs, seqs, scores)
    with pytest.raises(ValueError, match="room"):
        _scan.match([keyed], block.documents, np.empty(4, np.bool_), np.empty(5, np.int64))
    with pytest.raises(TypeError):
        _scan.top([short[:2]], _scan.DOT, query, 1, seqs, scores)  # type: ignore[list-item]
