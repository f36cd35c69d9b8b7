"""Lanes, with a clock that stands where the test puts it."""

import asyncio
import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from embedd.batches import LOOK_AHEAD, BatchLimits
from embedd.encoding import Encoding
from embedd.errors import DeadlineExceeded, Overloaded
from embedd.lanes import Lane, Lanes, Piece, Request
from embedd.token_vectors import TokenDtype

LIMITS = BatchLimits(max_tokens=100, max_area=10**6)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def lanes() -> Lanes:
    return Lanes(max_waiting_tokens=1000, bulk_patience_s=1.0)


def test_interactive_pieces_go_first_and_alone(lanes: Lanes, loop: asyncio.AbstractEventLoop) -> None:
    lanes.add(pieces(loop, Lane.BULK, [10, 10], since=0.0))
    lanes.add(pieces(loop, Lane.INTERACTIVE, [10], since=0.5))
    assert [lanes_of(next_batch(lanes, now=0.6)) for _ in range(3)] == [
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
        served.append(next_batch(lanes, now=tick / 10)[0].request.lane)
    assert [tick for tick, lane in enumerate(served) if lane is Lane.BULK] == [11, 22]


def test_pieces_of_departed_clients_are_dropped(lanes: Lanes, loop: asyncio.AbstractEventLoop) -> None:
    gone, here = pieces(loop, Lane.BULK, [10]), pieces(loop, Lane.BULK, [12])
    lanes.add([*gone, *here])
    gone[0].request.done.cancel()
    assert next_batch(lanes, now=0.0) == here
    assert len(lanes) == 0
    assert lanes.waiting_tokens(Lane.BULK) == 0


def test_what_is_not_chosen_keeps_its_place(lanes: Lanes, loop: asyncio.AbstractEventLoop) -> None:
    waiting = [pieces(loop, Lane.BULK, [length], since=n)[0] for n, length in enumerate([10, 90, 10, 95, 10])]
    lanes.add(waiting)
    assert next_batch(lanes, now=0.0) == [waiting[0], waiting[2], waiting[4]]
    assert next_batch(lanes, now=0.0) == [waiting[1]]
    assert next_batch(lanes, now=0.0) == [waiting[3]]


def test_the_look_ahead_is_bounded(lanes: Lanes, loop: asyncio.AbstractEventLoop) -> None:
    ahead = LOOK_AHEAD["padded"] * LIMITS.max_tokens
    lanes.add(pieces(loop, Lane.BULK, [1, *[100] * (ahead // 100), 1]))
    assert [piece.length for piece in next_batch(lanes, now=0.0)] == [1]


def test_pieces_put_back_come_first_and_count_again(lanes: Lanes, loop: asyncio.AbstractEventLoop) -> None:
    first, second = pieces(loop, Lane.BULK, [90], since=0), pieces(loop, Lane.BULK, [90], since=1)
    lanes.add([*first, *second])
    lanes.put_back(next_batch(lanes, now=1.0))
    assert lanes.waiting_tokens(Lane.BULK) == 180
    assert next_batch(lanes, now=1.0) == first


@pytest.mark.parametrize("tokens", [1, 5000])
def test_a_request_of_any_size_joins_while_the_lane_is_not_full(
    lanes: Lanes, loop: asyncio.AbstractEventLoop, tokens: int
) -> None:
    lanes.add(pieces(loop, Lane.BULK, [999]))
    lanes.admit(Lane.BULK, 10, tokens_per_s=100.0)
    lanes.add(pieces(loop, Lane.BULK, [tokens]))
    with pytest.raises(Overloaded, match=f"{999 + tokens} tokens waiting, limit 1000"):
        lanes.admit(Lane.BULK, 10, tokens_per_s=100.0)


def test_a_refusal_says_when_the_lane_will_have_room(lanes: Lanes, loop: asyncio.AbstractEventLoop) -> None:
    lanes.add(pieces(loop, Lane.BULK, [1500]))
    with pytest.raises(Overloaded) as refusal:
        lanes.admit(Lane.BULK, 10, tokens_per_s=100.0)
    assert refusal.value.retry_after_s == pytest.approx(5.0)


def test_jobs_are_told_to_wait_longer_when_people_take_most_of_the_model(
    lanes: Lanes, loop: asyncio.AbstractEventLoop
) -> None:
    lanes.add(pieces(loop, Lane.BULK, [1500]))
    for tick in range(10):
        lanes.add(pieces(loop, Lane.INTERACTIVE, [10]))
        next_batch(lanes, now=tick / 100)
    with pytest.raises(Overloaded) as refusal:
        lanes.admit(Lane.BULK, 10, tokens_per_s=100.0)
    assert refusal.value.retry_after_s == pytest.approx(5.0 / 0.95**10)


@pytest.mark.parametrize(("tokens", "time_left_s"), [(1, 5.2), (100, 6.4)])
def test_a_request_that_would_not_be_done_in_time_is_refused(
    lanes: Lanes, loop: asyncio.AbstractEventLoop, tokens: int, time_left_s: float
) -> None:
    lanes.add(pieces(loop, Lane.INTERACTIVE, [500]))
    lanes.admit(Lane.INTERACTIVE, tokens, tokens_per_s=100.0, time_left_s=1.1 * time_left_s)
    with pytest.raises(Overloaded) as refusal:
        lanes.admit(Lane.INTERACTIVE, tokens, tokens_per_s=100.0, time_left_s=time_left_s - 1.0)
    assert 0.5 < refusal.value.retry_after_s < 1.5


def test_nobody_is_refused_where_nothing_waits(lanes: Lanes) -> None:
    lanes.admit(Lane.INTERACTIVE, 10, tokens_per_s=100.0, time_left_s=0.0)


def test_a_backlog_of_jobs_refuses_no_person(lanes: Lanes, loop: asyncio.AbstractEventLoop) -> None:
    lanes.add(pieces(loop, Lane.BULK, [1000]))
    lanes.admit(Lane.INTERACTIVE, 10, tokens_per_s=100.0)


def test_taking_all_empties_both_lanes(lanes: Lanes, loop: asyncio.AbstractEventLoop) -> None:
    lanes.add([*pieces(loop, Lane.BULK, [5]), *pieces(loop, Lane.INTERACTIVE, [5])])
    assert len(lanes.take_all()) == 2
    assert len(lanes) == 0


def test_the_age_of_the_oldest_is_that_of_both_lanes(lanes: Lanes, loop: asyncio.AbstractEventLoop) -> None:
    assert lanes.oldest_since == math.inf
    lanes.add(pieces(loop, Lane.BULK, [5], since=3.0))
    lanes.add(pieces(loop, Lane.INTERACTIVE, [5], since=2.0))
    assert lanes.oldest_since == 2.0


def test_pieces_that_leave_from_the_middle_are_forgotten_at_once(
    lanes: Lanes, loop: asyncio.AbstractEventLoop
) -> None:
    first, leaving, last = (pieces(loop, Lane.BULK, [length]) for length in (50, 60, 55))
    lanes.add([*first, *leaving, *last])
    lanes.drop(leaving)
    assert (lanes.waiting_pieces(Lane.BULK), lanes.waiting_tokens(Lane.BULK)) == (2, 105)
    lanes.drop(leaving)
    assert lanes.take_all() == [*first, *last]


def test_a_request_whose_deadline_has_passed_is_dropped_and_told(
    lanes: Lanes, loop: asyncio.AbstractEventLoop
) -> None:
    late, early = pieces(loop, Lane.BULK, [10], deadline=5.0), pieces(loop, Lane.BULK, [12], deadline=5.1)
    lanes.add([*late, *early])
    assert next_batch(lanes, now=5.0) == early
    assert isinstance(late[0].request.done.exception(), DeadlineExceeded)
    assert len(lanes) == 0


def test_any_number_of_departed_pieces_hides_nobody(lanes: Lanes, loop: asyncio.AbstractEventLoop) -> None:
    gone, here = pieces(loop, Lane.BULK, [1] * 10_000), pieces(loop, Lane.BULK, [1])
    lanes.add([*gone, *here])
    gone[0].request.done.cancel()
    assert next_batch(lanes, now=0.0) == here


def test_what_was_in_a_lost_batch_runs_apart_and_with_less(
    lanes: Lanes, loop: asyncio.AbstractEventLoop
) -> None:
    waiting = pieces(loop, Lane.BULK, [20] * 7)
    lanes.add(waiting)
    lost = next_batch(lanes, now=0.0)
    assert len(lost) == 5
    for piece in lost:
        piece.max_batch_tokens = 50
    lanes.put_back(lost)
    assert [len(next_batch(lanes, now=0.0)) for _ in range(5)] == [2, 2, 1, 2, 0]


def test_a_batch_has_one_kind_of_token_vectors(lanes: Lanes, loop: asyncio.AbstractEventLoop) -> None:
    plain, exact, codes = (
        pieces(loop, Lane.BULK, [10], token_dtype=dtype) for dtype in (None, "float32", "int8")
    )
    more = pieces(loop, Lane.BULK, [10])
    lanes.add([*plain, *exact, *codes, *more])
    batches = [next_batch(lanes, now=0.0) for _ in range(3)]
    assert batches == [[*plain, *more], exact, codes]


class LanesAgainstALedger(RuleBasedStateMachine):
    """Whatever happens, what waits is what came and neither ran nor left, in the order it came."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.lanes = Lanes(max_waiting_tokens=1000, bulk_patience_s=1.0)
        self.waiting: dict[Lane, list[Piece]] = {lane: [] for lane in Lane}
        self.arrivals: list[Piece] = []
        self.running: list[Piece] = []
        self.now = 0.0

    def teardown(self) -> None:
        self.loop.close()

    @rule(lane=st.sampled_from(Lane), lengths=st.lists(st.integers(1, 120), min_size=1, max_size=8))
    def a_request_comes(self, lane: Lane, lengths: list[int]) -> None:
        new = pieces(self.loop, lane, lengths, since=self.now)
        self.lanes.add(new)
        self.arrivals += new
        self.waiting[lane] += new

    @rule(lane=st.sampled_from(Lane), position=st.integers(0, 30))
    def a_client_leaves(self, lane: Lane, position: int) -> None:
        if position < len(self.waiting[lane]):
            request = self.waiting[lane][position].request
            request.done.cancel()
            gone = [piece for piece in self.waiting[lane] if is_settled(piece)]
            self.lanes.drop(gone)
            self.waiting[lane] = [piece for piece in self.waiting[lane] if piece not in gone]

    @rule(pause_s=st.floats(0.0, 2.0))
    def a_batch_runs(self, pause_s: float) -> None:
        self.now += pause_s
        oldest = [waiting[0] for waiting in self.waiting.values() if waiting]
        batch = next_batch(self.lanes, self.now)
        assert bool(batch) == bool(oldest)
        assert not oldest or any(piece in batch for piece in oldest)
        assert len({piece.request.lane for piece in batch}) <= 1
        for piece in batch:
            self.waiting[piece.request.lane].remove(piece)
        self.running = batch

    @rule()
    def a_worker_is_lost(self) -> None:
        for piece in self.running:
            piece.max_batch_tokens = 50
        self.lanes.put_back(self.running)
        for lane, waiting in self.waiting.items():
            waiting += [
                piece for piece in self.running if piece.request.lane is lane and not is_settled(piece)
            ]
            waiting.sort(key=self.arrivals.index)
        self.running = []

    @invariant()
    def the_ledger_agrees(self) -> None:
        for lane, waiting in self.waiting.items():
            assert self.lanes.waiting_pieces(lane) == len(waiting)
            assert self.lanes.waiting_tokens(lane) == sum(piece.length for piece in waiting)
        since = (piece.since for waiting in self.waiting.values() for piece in waiting[:1])
        assert self.lanes.oldest_since == min(since, default=math.inf)


LanesAgainstALedger.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestLanesAgainstALedger = LanesAgainstALedger.TestCase


def is_settled(piece: Piece) -> bool:
    return piece.request.done.done()


def next_batch(lanes: Lanes, now: float) -> list[Piece]:
    return lanes.next_batch(now, LIMITS, "padded")


def pieces(
    loop: asyncio.AbstractEventLoop,
    lane: Lane,
    lengths: list[int],
    since: float = 0.0,
    *,
    deadline: float = math.inf,
    token_dtype: TokenDtype | None = None,
) -> list[Piece]:
    rows = np.empty((len(lengths), 4), dtype=np.float32)
    request = Request(lane, rows, loop.create_future(), deadline, len(lengths), token_dtype)
    return [Piece(encoding_of(length), row, request, since) for row, length in enumerate(lengths)]


def encoding_of(length: int) -> Encoding:
    return Encoding(np.zeros(length, dtype=np.int32), length)


def lanes_of(batch: list[Piece]) -> list[Lane]:
    return [piece.request.lane for piece in batch]
