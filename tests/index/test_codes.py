"""Vectors in eight bits: scans find the same with them as without, and they are there while scans come."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index import _scan
from index.blocks import Block
from index.codes import Scans, encode
from index.rows import Metric
from index.vectors import TableView

METRICS: tuple[Metric, ...] = ("cosine", "dot", "l2")
KINDS = ("at random", "near each other", "the same", "of all sizes", "one large number", "zeros")


def in_codes(block: Block) -> Block:
    return replace(block, scans=Scans(codes=encode(block.vectors)))


def blocks_of(rows: np.ndarray, size: int, live: np.ndarray) -> list[Block]:
    seqs = np.arange(1, len(rows) + 1, dtype=np.int64)
    parts = [slice(start, start + size) for start in range(0, len(rows), size)]
    return [Block(rows[part], seqs[part], seqs[part], live[part].copy()) for part in parts]


def rows_of(dice: np.random.Generator, kind: str, count: int, dim: int) -> np.ndarray:
    """Rows that are hard to tell apart in eight bits, each kind in its way."""
    rows = dice.normal(size=(count, dim))
    if kind == "near each other":
        rows = rows[:1] + 1e-4 * rows
    elif kind == "the same":
        rows = rows[dice.integers(0, 3, count) % count]
    elif kind == "of all sizes":
        rows = rows * 10.0 ** dice.integers(-30, 15, (count, 1))
    elif kind == "one large number":
        rows[np.arange(count), dice.integers(0, dim, count)] = 1e4
    elif kind == "zeros":
        rows[dice.random(count) < 0.5] = 0
    return np.ascontiguousarray(rows, dtype=np.float32)


def of_length_one(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.maximum(lengths, 1e-300), dtype=np.float32)


@pytest.mark.parametrize("metric", METRICS)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 10**6),
    dim=st.sampled_from([1, 31, 64, 100, 384, 600]),
    k=st.integers(1, 40),
)
def test_a_scan_in_codes_finds_the_same(metric: Metric, kind: str, seed: int, dim: int, k: int) -> None:
    dice = np.random.default_rng(seed)
    rows = rows_of(dice, kind, 1_500, dim)
    query = rows[0] if seed % 2 else rows_of(dice, kind, 3, dim)[0]
    if metric == "cosine":
        rows, query = of_length_one(rows), of_length_one(query[np.newaxis])[0]
    plain = blocks_of(rows, 600, dice.random(len(rows)) < 0.8)
    coded = [in_codes(block) if number else block for number, block in enumerate(plain)]
    wanted = TableView(plain, metric).top(query, k)
    found = TableView(coded, metric).top(query, k, 1 + seed % 3)
    assert found.seqs.tolist() == wanted.seqs.tolist()
    assert found.scores.tolist() == wanted.scores.tolist()


def test_numbers_as_large_as_can_be_do_not_lose_rows() -> None:
    dice = np.random.default_rng(5)
    rows = (dice.normal(size=(2_000, 64)) * 1e37).astype(np.float32)
    rows[::2] *= np.float32(1e-40)
    everything = np.ones(len(rows), dtype=np.bool_)
    for metric in METRICS[1:]:
        for query in (rows[1], rows[2], np.ones(64, dtype=np.float32)):
            with np.errstate(over="ignore"):
                wanted = TableView(blocks_of(rows, 500, everything), metric).top(query, 10)
            coded = [in_codes(block) for block in blocks_of(rows, 500, everything)]
            assert TableView(coded, metric).top(query, 10).seqs.tolist() == wanted.seqs.tolist()


def test_most_rows_are_left_out_by_their_codes() -> None:
    """Rows that cannot be among the best are not read: here there are others in their places."""
    dice = np.random.default_rng(1)
    rows = rows_of(dice, "at random", 20_000, 384)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    block = in_codes(blocks_of(rows, len(rows), np.ones(len(rows), dtype=np.bool_))[0])
    wanted = TableView([block], "cosine").top(rows[7], 5)
    unread = np.ones(len(rows), dtype=np.bool_)
    unread[:1_024] = False  # of these nobody knew what the best would be
    unread[wanted.seqs - 1] = False
    scores = rows @ rows[7]
    unread &= scores < np.sort(scores)[-100]
    spoiled = np.where(unread[:, np.newaxis], np.float32(1), rows)  # would be better than all others
    found = TableView([replace(block, vectors=np.ascontiguousarray(spoiled))], "cosine").top(rows[7], 5)
    assert found.seqs.tolist() == wanted.seqs.tolist()


def test_codes_stay_while_scans_come_and_go_when_none_does() -> None:
    vectors, scans = np.random.default_rng(1).normal(size=(4, 64)).astype(np.float32), Scans()
    assert scans.take_note() == -1
    scans.came = True
    assert scans.take_note() == 1
    scans.came = True
    assert scans.take_note() == 2
    scans.encode(vectors)
    codes = scans.codes
    assert codes is not None
    assert codes.nbytes == 4 * (64 + _scan.SCALE_BYTES)
    assert [scans.take_note() for _ in range(14)] == list(range(-1, -15, -1))
    scans.encode(vectors)
    assert scans.codes is codes
    scans.came = True
    assert scans.take_note() == 1
    assert [scans.take_note() for _ in range(14)][-1] == -14
    assert scans.codes is codes
    scans.take_note()
    assert scans.codes is None


def test_vectors_that_eight_bits_hardly_tell_apart_have_none() -> None:
    vectors, scans = np.random.default_rng(1).normal(size=(50, 64)).astype(np.float32), Scans()
    vectors[:, 7] = 1e4
    scans.encode(vectors)
    assert scans.codes is None


def test_what_is_left_of_the_smallest_numbers_counts() -> None:
    """Their doubt is rounded to one of few floats; the query is long enough for the difference to matter."""
    rows = np.zeros((2_000, 64), dtype=np.float32)
    rows[:, 2] = 2.5e-28
    rows[-1] = 0
    rows[-1, :2] = 2.0**-149
    query = np.zeros(64, dtype=np.float32)
    query[:3] = 1e17, 1e17, 1
    plain = blocks_of(rows, len(rows), np.ones(len(rows), dtype=np.bool_))
    wanted = TableView(plain, "dot").top(query, 1)
    assert TableView([in_codes(plain[0])], "dot").top(query, 1).seqs.tolist() == wanted.seqs.tolist()


def test_short_vectors_have_none() -> None:
    scans = Scans()
    scans.encode(np.ones((4, 63), dtype=np.float32))
    assert scans.codes is None


def test_arrays_that_do_not_fit_are_refused() -> None:
    vectors, scales = np.zeros((3, 40), np.float32), np.zeros((3, 3), np.float32)
    with pytest.raises(ValueError, match="room"):
        _scan.encode(vectors, np.zeros(3 * 40, np.int8), scales)
    with pytest.raises(ValueError, match="room"):
        _scan.encode(vectors, np.zeros(3 * 64, np.int8), scales[:0])
    seqs, live = np.arange(3), np.ones(3, np.bool_)
    codes = encode(vectors)
    room = np.empty(1, np.int64), np.empty(1, np.float32)
    for short in ((codes.numbers[:-1], codes.scales), (codes.numbers, codes.scales[:-1])):
        with pytest.raises(ValueError, match="fit"):
            _scan.top([(seqs, vectors, live, *short)], _scan.DOT, vectors[0], 1, *room)
