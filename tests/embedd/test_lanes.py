"""Lanes and batches: pure functions, with a clock that stands still."""

import asyncio
import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedd.errors import Overloaded
from embedd.lanes import LOOK_AHEAD, Lane, Lanes, Piece, Request, cut_batch
from embedd.tokenizer import Encoding

lengths_of_pieces = st.lists(st.integers(1, 300), min_size=1, max_size=40)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def lanes() -> Lanes:
    return Lanes(max_batch_tokens=100, max_waiting_tokens=1000, bulk_patience_s=1.0)


@given(lengths_of_pieces, st.integers(1, 600))
def test_a_batch_holds_the_oldest_piece_and_keeps_to_the_budget(lengths: list[int], budget: int) -> None:
    batch = cut_batch(lengths, budget)
    assert 0 in batch
    assert len(set(batch)) == len(batch)
    assert len(batch) * max(lengths[index] for index in batch) <= max(budget, lengths[0])


@given(lengths_of_pieces, st.integers(1, 600))
def test_no_run_of_similar_lengths_around_the_oldest_would_hold_more(lengths: list[int], budget: int) -> None:
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    runs = [order[a:b] for a in range(len(order)) for b in range(a + 1, len(order) + 1) if 0 in order[a:b]]
    legal = [run for run in runs if len(run) * lengths[run[-1]] <= budget] or [[0]]
    most = max(sum(lengths[index] for index in run) for run in legal)
    assert sum(lengths[index] for index in cut_batch(lengths, budget)) == most


def test_a_piece_over_the_budget_runs_alone() -> None:
    assert cut_batch([500, 10, 20], 100) == [0]


def test_pieces_of_like_length_are_taken_past_others_in_the_queue() -> None:
    assert cut_batch([10, 90, 11, 80, 9], 40) == [4, 0, 2]


def test_interactive_pieces_go_first_and_alone(lanes: Lanes, loop: asyncio.AbstractEventLoop) -> None:
    lanes.add(pieces(loop, Lane.BULK, [10, 10], since=0.0))
    lanes.add(pieces(loop, Lane.INTERACTIVE, [10], since=0.5))
    assert [lanes_of(lanes.next_batch(now=0.6)) for _ in range(3)] == [
        [Lane.INTERACTIVE],
        [Lane.BULK, Lane.BULK],
        [],
    ]


def test_bulk_gets_one_batch_per_patience_while_people_never_stop(
    lanes: Lanes, loop: asyncio.AbstractEventLoop
) -> None:
    lanes.add(pieces(loop, Lane.BULK, [60] * 5, since=0.0))
    served = []
    for tick in range(30):  # a batch every 0.1 s, and a person always waiting
        lanes.add(pieces(loop, Lane.INTERACTIVE, [60], since=tick / 10))
        served.append(lanes.next_batch(now=tick / 10)[0].request.lane)
    assert [tick for tick, lane in enumerate(served) if lane is Lane.BULK] == [11, 22]


def test_pieces_of_departed_clients_are_dropped(lanes: Lanes, loop: asyncio.AbstractEventLoop) -> None:
    gone, here = pieces(loop, Lane.BULK, [10]), pieces(loop, Lane.BULK, [12])
    lanes.add([*gone, *here])
    gone[0].request.done.cancel()
    assert lanes.next_batch(now=0.0) == here
    assert len(lanes) == 0
    assert lanes.waiting_tokens(Lane.BULK) == 0


def test_what_is_not_chosen_keeps_its_place(lanes: Lanes, loop: asyncio.AbstractEventLoop) -> None:
    waiting = [pieces(loop, Lane.BULK, [length], since=n)[0] for n, length in enumerate([10, 90, 10, 95, 10])]
    lanes.add(waiting)
    assert lanes.next_batch(now=0.0) == [waiting[0], waiting[2], waiting[4]]
    assert lanes.next_batch(now=0.0) == [waiting[1]]
    assert lanes.next_batch(now=0.0) == [waiting[3]]


def test_the_look_ahead_is_bounded(lanes: Lanes, loop: asyncio.AbstractEventLoop) -> None:
    far = pieces(loop, Lane.BULK, [1])
    lanes.add([*pieces(loop, Lane.BULK, [1] + [90] * (LOOK_AHEAD - 1)), *far])
    assert len(lanes.next_batch(now=0.0)) == 1


def test_pieces_put_back_come_first_and_count_again(lanes: Lanes, loop: asyncio.AbstractEventLoop) -> None:
    first, second = pieces(loop, Lane.BULK, [90], since=0), pieces(loop, Lane.BULK, [90], since=1)
    lanes.add([*first, *second])
    lanes.put_back(lanes.next_batch(now=1.0))
    assert lanes.waiting_tokens(Lane.BULK) == 180
    assert lanes.next_batch(now=1.0) == first


@pytest.mark.parametrize(
    ("waiting", "tokens", "admitted"), [(999, 1, True), (1000, 1, False), (0, 5000, True)]
)
def test_a_request_joins_while_there_is_room(
    lanes: Lanes, loop: asyncio.AbstractEventLoop, waiting: int, tokens: int, admitted: bool
) -> None:
    lanes.add(pieces(loop, Lane.BULK, [waiting] if waiting else []))
    if admitted:
        lanes.admit(Lane.BULK, tokens, tokens_per_s=100.0)
    else:
        with pytest.raises(Overloaded, match="1000 tokens waiting, 1 more asked for, limit 1000"):
            lanes.admit(Lane.BULK, tokens, tokens_per_s=100.0)


def test_a_request_larger_than_the_limit_is_refused_while_the_lane_is_over_half_full(
    lanes: Lanes, loop: asyncio.AbstractEventLoop
) -> None:
    lanes.add(pieces(loop, Lane.BULK, [700]))
    with pytest.raises(Overloaded) as refusal:
        lanes.admit(Lane.BULK, 5000, tokens_per_s=100.0)
    assert refusal.value.retry_after_s == pytest.approx(2.0), "when 200 of the 700 are done"


def test_a_backlog_of_jobs_refuses_no_person(lanes: Lanes, loop: asyncio.AbstractEventLoop) -> None:
    lanes.add(pieces(loop, Lane.BULK, [1000]))
    lanes.admit(Lane.INTERACTIVE, 10, tokens_per_s=100.0)


def test_taking_all_empties_both_lanes(lanes: Lanes, loop: asyncio.AbstractEventLoop) -> None:
    lanes.add([*pieces(loop, Lane.BULK, [5]), *pieces(loop, Lane.INTERACTIVE, [5])])
    assert len(lanes.take_all()) == 2
    assert len(lanes) == 0


def pieces(
    loop: asyncio.AbstractEventLoop, lane: Lane, lengths: list[int], since: float = 0.0
) -> list[Piece]:
    rows = np.empty((len(lengths), 4), dtype=np.float32)
    request = Request(lane, rows, loop.create_future(), math.inf, missing=len(lengths))
    return [Piece(encoding_of(length), row, request, since) for row, length in enumerate(lengths)]


def encoding_of(length: int) -> Encoding:
    return Encoding(np.zeros(length, dtype=np.int32), length)


def lanes_of(batch: list[Piece]) -> list[Lane]:
    return [piece.request.lane for piece in batch]
