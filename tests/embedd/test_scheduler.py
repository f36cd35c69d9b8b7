"""What the scheduler promises, with real lanes and a real pool over simulated workers and time."""

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from simulated import (
    Machine,
    SimulatedWorker,
    Speed,
    Standstill,
    expected_row,
    inputs_of,
    open_simulated,
    simulate,
)

from embedd.errors import (
    CallFailed,
    DeadlineExceeded,
    NotFinite,
    OutOfMemory,
    Overloaded,
    WorkerDied,
)
from embedd.lanes import Lane
from embedd.scheduler import Scheduler


def now() -> float:
    return asyncio.get_running_loop().time()


def test_inputs_are_answered_in_order_with_their_token_vectors() -> None:
    async def main() -> None:
        async with open_simulated(Machine()) as (scheduler, _):
            inputs = inputs_of([7, 300, 12, 900, 3])
            outputs = await scheduler.run(inputs, Lane.BULK, token_dtype="int8")
        np.testing.assert_array_equal(outputs.rows, [expected_row(one.ids) for one in inputs])
        assert outputs.tokens is not None
        assert [tokens.shape for tokens in outputs.tokens] == [(7, 1), (300, 1), (12, 1), (900, 1), (3, 1)]
        assert {tokens.dtype for tokens in outputs.tokens} == {np.dtype(np.int8)}

    simulate(main())


def test_no_inputs_are_no_rows() -> None:
    async def main() -> None:
        async with open_simulated(Machine()) as (scheduler, _):
            outputs = await scheduler.run([], Lane.BULK)
        assert outputs.rows.shape == (0, 2)
        assert outputs.tokens is None

    simulate(main())


def test_a_request_says_how_long_it_waited_and_how_long_its_forward_took() -> None:
    async def main() -> None:
        machine = Machine(speeds=[Speed(tokens_per_s=1000.0, overhead_s=0.0)])
        async with open_simulated(machine) as (scheduler, _):
            first = asyncio.ensure_future(scheduler.run(inputs_of([1000]), Lane.BULK))
            await asyncio.sleep(0.25)
            second = await scheduler.run(inputs_of([500]), Lane.BULK)
        assert (second.queue_s, second.forward_s) == pytest.approx((0.75, 0.5))
        assert (first.result().queue_s, first.result().forward_s) == pytest.approx((0.0, 1.0))
        assert machine.value("embedd_stage_seconds_sum", stage="queue") == pytest.approx(0.75)
        assert machine.value("embedd_stage_seconds_sum", stage="forward") == pytest.approx(1.5)

    simulate(main())


def test_nothing_ticks_while_nothing_waits() -> None:
    async def main() -> None:
        async with open_simulated(Machine()) as (scheduler, _):
            await scheduler.run(inputs_of([30]), Lane.BULK)
            await asyncio.Event().wait()

    with pytest.raises(Standstill):
        simulate(main())


def test_a_lone_text_is_not_kept_waiting_for_company() -> None:
    async def main() -> None:
        async with open_simulated(Machine()) as (scheduler, _):
            began = now()
            await scheduler.run(inputs_of([16]), Lane.INTERACTIVE)
            assert now() - began == pytest.approx(Speed().seconds([16]))

    simulate(main())


def test_a_worker_is_never_idle_while_work_waits() -> None:
    async def main() -> None:
        machine = Machine()
        async with open_simulated(machine) as (scheduler, _):
            began = now()
            await scheduler.run(inputs_of([60] * 2000), Lane.BULK)
            took = now() - began
        assert took == pytest.approx(sum(Speed().seconds(batch) for batch in machine.batches))

    simulate(main())


def test_padding_is_counted_where_there_is_some_and_is_none_where_there_is_not() -> None:
    async def main(machine: Machine) -> None:
        async with open_simulated(machine) as (scheduler, _):
            await scheduler.run(inputs_of([10, 20, 30]), Lane.BULK)

    for forward, padding in (("padded", 30.0), ("packed", 0.0)):
        machine = Machine(speeds=[Speed(forward=forward)])
        simulate(main(machine))
        assert machine.value("embedd_tokens_total") == 60.0
        assert machine.value("embedd_padding_tokens_total") == padding
        assert machine.value("embedd_batch_items_sum") == 3.0


def test_the_queue_can_be_read_at_any_time() -> None:
    async def main() -> None:
        machine = Machine(speeds=[Speed(), Speed()])
        async with open_simulated(machine) as (scheduler, _):
            asked = asyncio.ensure_future(scheduler.run(inputs_of([100] * 100), Lane.BULK))
            await asyncio.sleep(0.01)
            assert machine.value("embedd_queue_pieces", lane="bulk") == 80
            assert machine.value("embedd_queue_tokens", lane="bulk") == 8000
            assert machine.value("te_queue_size") == 80
            assert machine.value("embedd_queue_oldest_seconds") == pytest.approx(0.01)
            assert machine.value("embedd_workers_live") == 2
            await asked
            assert machine.value("embedd_queue_oldest_seconds") == 0
            full = 2 * 1000 / Speed().seconds([100] * 10)
            assert machine.value("embedd_tokens_per_second") == pytest.approx(full)

    simulate(main())


def test_several_workers_share_one_queue_by_their_speed() -> None:
    async def main() -> None:
        slow, fast = Speed(tokens_per_s=10_000), Speed(tokens_per_s=40_000)
        machine = Machine(speeds=[slow, fast])
        async with open_simulated(machine) as (scheduler, _):
            began = now()
            await scheduler.run(inputs_of([60] * 10_000), Lane.BULK)
            rate = 600_000 / (now() - began)
        both = sum(1000 / speed.seconds([1000]) for speed in (slow, fast))
        assert rate > 0.95 * both

    simulate(main())


def test_a_row_that_is_not_finite_fails_its_request_alone() -> None:
    async def first_row(worker: SimulatedWorker, payload: Mapping[str, Any]) -> list[int]:
        return [0]

    async def main() -> None:
        machine = Machine(on_batch=first_row)
        async with open_simulated(machine) as (scheduler, _):
            bad, good = await asyncio.gather(
                scheduler.run(inputs_of([9, 8]), Lane.BULK),
                scheduler.run(inputs_of([10]), Lane.BULK),
                return_exceptions=True,
            )
        assert isinstance(bad, NotFinite)
        assert bad.index == 1
        assert not isinstance(good, BaseException)
        assert machine.value("embedd_nonfinite_rows_total") == 1

    simulate(main())


def test_a_client_that_leaves_frees_its_place_at_once() -> None:
    async def main() -> None:
        machine = Machine()
        async with open_simulated(machine) as (scheduler, _):
            running = asyncio.ensure_future(scheduler.run(inputs_of([1000]), Lane.BULK))
            await asyncio.sleep(0.001)
            leaving = asyncio.ensure_future(scheduler.run(inputs_of([700] * 5), Lane.BULK))
            await asyncio.sleep(0.001)
            assert scheduler.waiting_tokens(Lane.BULK) == 3500
            leaving.cancel()
            await asyncio.wait([leaving])
            assert scheduler.waiting_tokens(Lane.BULK) == 0
            await running
        assert machine.batches == [[1000]]
        assert machine.value("embedd_departed_total") == 5

    simulate(main())


def test_what_is_late_is_dropped_and_told() -> None:
    async def main() -> None:
        machine = Machine(speeds=[Speed(tokens_per_s=1000)])
        async with open_simulated(machine) as (scheduler, _):
            await scheduler.run(inputs_of([1000]), Lane.BULK)
            running = asyncio.ensure_future(scheduler.run(inputs_of([1000]), Lane.BULK))
            await asyncio.sleep(0.001)
            with pytest.raises(DeadlineExceeded):
                await scheduler.run(inputs_of([10] * 3), Lane.BULK, deadline=now() + 0.3)
            await running
        assert machine.batches == [[1000], [1000]]
        assert machine.value("embedd_departed_total") == 3

    simulate(main())


async def die_while(worker: SimulatedWorker, *, condition: bool) -> None:
    if condition:
        worker.kill()
        await asyncio.Event().wait()


def test_a_lost_batch_runs_once_more_in_halves() -> None:
    async def first_dies(worker: SimulatedWorker, payload: Mapping[str, Any]) -> list[int]:
        await die_while(worker, condition=worker.pid == 0)
        return []

    async def main() -> None:
        machine = Machine(on_batch=first_dies)
        async with open_simulated(machine) as (scheduler, _):
            inputs = inputs_of([100] * 10)
            outputs = await scheduler.run(inputs, Lane.BULK)
        np.testing.assert_array_equal(outputs.rows, [expected_row(one.ids) for one in inputs])
        assert machine.batches == [[100] * 10, [100] * 5, [100] * 5]
        assert machine.value("embedd_batch_retries_total") == 1
        assert machine.value("embedd_worker_restarts_total") == 1

    simulate(main())


def test_an_input_that_kills_every_worker_takes_only_its_half_along() -> None:
    async def poisoned(worker: SimulatedWorker, payload: Mapping[str, Any]) -> list[int]:
        await die_while(worker, condition=13 in payload["lengths"])
        return []

    async def main() -> None:
        machine = Machine(on_batch=poisoned)
        async with open_simulated(machine, max_batch_tokens=100) as (scheduler, _):
            lengths = [13, 14, 15, 16, 40]
            outcomes = await asyncio.gather(
                *(scheduler.run(inputs_of([length]), Lane.BULK) for length in lengths), return_exceptions=True
            )
        died = [length for length, one in zip(lengths, outcomes, strict=True) if isinstance(one, WorkerDied)]
        assert died == [13, 14, 15]
        assert [sorted(batch) for batch in machine.batches] == [
            [13, 14, 15, 16, 40],
            [13, 14, 15],
            [16],
            [40],
        ]

    simulate(main())


def test_what_a_lost_worker_had_not_begun_is_neither_halved_nor_counted_against() -> None:
    async def first_two_die(worker: SimulatedWorker, payload: Mapping[str, Any]) -> list[int]:
        await asyncio.sleep(0.5)  # the next batch is in the line by now
        await die_while(worker, condition=worker.pid < 2)
        return []

    async def main() -> None:
        machine = Machine(on_batch=first_two_die)
        async with open_simulated(machine) as (scheduler, _):
            first = asyncio.ensure_future(scheduler.run(inputs_of([1000]), Lane.BULK))
            await asyncio.sleep(0.001)
            second = asyncio.ensure_future(scheduler.run(inputs_of([10] * 100), Lane.BULK))
            with pytest.raises(WorkerDied, match="was killed by SIGKILL, and the request with it"):
                await first
            await second
        assert machine.batches == [[1000], [1000], [10] * 100]

    simulate(main())


@pytest.mark.parametrize(("time_left_s", "again"), [(1.9, False), (2.3, True)])
def test_what_has_no_time_for_a_new_worker_is_told_at_once(time_left_s: float, again: bool) -> None:
    async def first_dies(worker: SimulatedWorker, payload: Mapping[str, Any]) -> list[int]:
        await die_while(worker, condition=worker.pid == 0)
        return []

    async def main() -> None:
        machine = Machine(on_batch=first_dies, speeds=[Speed(load_s=2.0)])
        async with open_simulated(machine) as (scheduler, _):
            began = now()
            call = scheduler.run(inputs_of([16]), Lane.INTERACTIVE, deadline=now() + time_left_s)
            if again:
                await call
            else:
                with pytest.raises(WorkerDied) as death:
                    await call
                assert now() == began
                assert death.value.retry_after_s == pytest.approx(2.1)

    simulate(main())


def test_another_worker_takes_over_what_is_urgent() -> None:
    async def first_dies(worker: SimulatedWorker, payload: Mapping[str, Any]) -> list[int]:
        await die_while(worker, condition=worker.pid == 0)
        return []

    async def main() -> None:
        machine = Machine(on_batch=first_dies, speeds=[Speed(), Speed()])
        async with open_simulated(machine) as (scheduler, _):
            began = now()
            await scheduler.run(inputs_of([16]), Lane.INTERACTIVE, deadline=now() + 0.1)
            assert now() - began == pytest.approx(Speed().seconds([16]))

    simulate(main())


def test_a_batch_that_does_not_fit_into_memory_is_split_until_the_culprit_is_alone() -> None:
    async def small_memory(worker: SimulatedWorker, payload: Mapping[str, Any]) -> list[int]:
        if sum(payload["lengths"]) > 100:
            raise CallFailed("OutOfMemory", "tried to allocate 20 GiB")
        return []

    async def main() -> None:
        machine = Machine(on_batch=small_memory)
        async with open_simulated(machine) as (scheduler, _):
            lengths = [20, 30, 40, 120, 50]
            outcomes = await asyncio.gather(
                scheduler.run(inputs_of([5]), Lane.BULK),
                *(scheduler.run(inputs_of([60, length]), Lane.BULK) for length in lengths),
                return_exceptions=True,
            )
            await scheduler.run(inputs_of([100]), Lane.BULK)
        (error,) = [one for one in outcomes if isinstance(one, BaseException)]
        assert isinstance(error, OutOfMemory)
        assert outcomes.index(error) == 4
        assert error.index == 1
        assert len(machine.workers) == 1, "memory that ran out is no reason to start again"

    simulate(main())


def test_a_request_of_which_a_part_is_lost_for_good_fails_as_a_whole() -> None:
    """Also where the rest of it, in the same batch, could run once more: nobody would wait for that."""

    async def main() -> None:
        leaving: list[asyncio.Future[Any]] = []
        begun = 0

        async def first_is_too_large_and_two_die(
            worker: SimulatedWorker, payload: Mapping[str, Any]
        ) -> list[int]:
            nonlocal begun
            number = begun = begun + 1
            if number == 1:
                await asyncio.sleep(0.5)
                raise CallFailed("OutOfMemory", "tried to allocate 20 GiB")
            if number == 2:
                await asyncio.sleep(0.4)
                leaving[0].cancel()
            await die_while(worker, condition=number in (2, 5))
            return []

        machine = Machine(on_batch=first_is_too_large_and_two_die, speeds=[Speed(), Speed()])
        async with open_simulated(machine, max_batch_tokens=1000) as (scheduler, _):
            leaving.append(asyncio.ensure_future(scheduler.run(inputs_of([100] * 3), Lane.BULK)))
            staying = asyncio.ensure_future(scheduler.run(inputs_of([100] * 17), Lane.BULK))
            with pytest.raises(WorkerDied):
                await staying
        assert machine.batches == [[100] * 10] * 2 + [[100] * 5] * 3

    simulate(main())


def test_a_hung_worker_is_noticed_replaced_and_its_batch_runs_again() -> None:
    async def second_batch_hangs(worker: SimulatedWorker, payload: Mapping[str, Any]) -> list[int]:
        if 17 in payload["lengths"] and worker.pid == 0:
            await asyncio.Event().wait()
        return []

    async def main() -> None:
        machine = Machine(on_batch=second_batch_hangs, speeds=[Speed(load_s=2.0)])
        async with open_simulated(machine) as (scheduler, pool):
            await scheduler.run(inputs_of([16]), Lane.INTERACTIVE)
            began = now()
            stuck = asyncio.ensure_future(scheduler.run(inputs_of([17]), Lane.INTERACTIVE))
            states = {}
            while not stuck.done():
                states.setdefault(pool.status.state, round(now() - began, 1))
                await asyncio.sleep(0.1)
            assert states == {"ready": 0.0, "stalled": 4.0, "loading": 5.0}
            assert "no batch" not in pool.status.reason
            assert now() - began == pytest.approx(7.2, abs=0.11)
            assert pool.status.state == "ready"

    simulate(main())


def test_a_model_with_one_live_worker_of_two_hung_is_ready() -> None:
    async def hangs(worker: SimulatedWorker, payload: Mapping[str, Any]) -> list[int]:
        if worker.pid == 0:
            await asyncio.Event().wait()
        return []

    async def main() -> None:
        machine = Machine(on_batch=hangs, speeds=[Speed(), Speed()])
        async with open_simulated(machine) as (scheduler, pool):
            stuck = asyncio.ensure_future(scheduler.run(inputs_of([16]), Lane.INTERACTIVE))
            await asyncio.sleep(4.5)
            assert pool.status.state == "ready"
            stuck.cancel()

    simulate(main())


@pytest.mark.parametrize(("seconds", "killed"), [(19.0, False), (21.0, True)])
def test_a_slow_batch_is_given_twenty_times_what_it_should_take(seconds: float, killed: bool) -> None:
    async def slow_at_last(worker: SimulatedWorker, payload: Mapping[str, Any]) -> list[int]:
        if 1001 in payload["lengths"] and worker.pid == 0:
            await asyncio.sleep(seconds - 1.0)
        return []

    async def main() -> None:
        speed = Speed(tokens_per_s=1000, overhead_s=0.0)
        machine = Machine(on_batch=slow_at_last, speeds=[speed])
        async with open_simulated(machine) as (scheduler, _):
            await scheduler.run(inputs_of([1000]), Lane.BULK)
            await scheduler.run(inputs_of([1001]), Lane.BULK)
        assert len(machine.workers) == 1 + killed

    simulate(main())


def test_a_first_batch_may_take_its_time() -> None:
    async def compiles(worker: SimulatedWorker, payload: Mapping[str, Any]) -> list[int]:
        await asyncio.sleep(50.0)
        return []

    async def main() -> None:
        machine = Machine(on_batch=compiles)
        async with open_simulated(machine, batch_timeout_s=60.0) as (scheduler, _):
            await scheduler.run(inputs_of([16]), Lane.BULK)
        assert len(machine.workers) == 1

    simulate(main())


def test_even_a_worker_that_cannot_be_killed_keeps_nobody_waiting() -> None:
    async def hangs(worker: SimulatedWorker, payload: Mapping[str, Any]) -> list[int]:
        worker.kill = lambda: None  # it sleeps in a driver
        await asyncio.Event().wait()
        return []

    async def main() -> None:
        machine = Machine(on_batch=hangs, speeds=[Speed(load_s=10.0)])
        async with open_simulated(machine, batch_timeout_s=5.0) as (scheduler, _):
            began = now()
            calls = [
                asyncio.ensure_future(scheduler.run(inputs_of([1000]), Lane.BULK, deadline=now() + 12))
                for _ in range(2)
            ]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [WorkerDied, WorkerDied]
            assert now() - began == pytest.approx(5.0)

    simulate(main())


async def ask(scheduler: Scheduler, lengths: list[int], lane: Lane = Lane.BULK) -> float:
    """How long the answer took."""
    began = now()
    await scheduler.run(inputs_of(lengths), lane)
    return now() - began


def test_a_full_lane_refuses_at_once_and_counts_it() -> None:
    async def main() -> None:
        machine = Machine()
        async with open_simulated(machine, max_waiting_tokens=5000) as (scheduler, _):
            calls = [asyncio.ensure_future(ask(scheduler, [1000] * 8)) for _ in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                scheduler.admit(Lane.BULK)
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [isinstance(outcome, Overloaded) for outcome in outcomes] == [False, True, True]
        assert machine.value("embedd_overloaded_total") == 3

    simulate(main())
