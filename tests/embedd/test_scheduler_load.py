"""What the scheduler makes of a model under load, on a simulated clock: minutes of it, the same each time."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import quantiles

import pytest
from simulated import Machine, Speed, inputs_of, open_simulated, simulate

from embedd.batches import BatchLimits, Forward
from embedd.errors import DeadlineExceeded, Overloaded
from embedd.lanes import Lane
from embedd.scheduler import Scheduler

PACKED, PADDED = Speed(), Speed(forward="padded")
FULL_S = PACKED.seconds([1024])


def now() -> float:
    return asyncio.get_running_loop().time()


async def ask(scheduler: Scheduler, lengths: Sequence[int], lane: Lane) -> float:
    """How long the answer took."""
    began = now()
    await scheduler.run(inputs_of(lengths), lane)
    return now() - began


def mixed(count: int) -> list[int]:
    """Lengths of the load that is hardest on padding: anything from 10 to 500 tokens."""
    chance = random.Random(7)
    return [chance.randint(10, 500) for _ in range(count)]


@asynccontextmanager
async def saturated(
    scheduler: Scheduler, lengths: Sequence[int], lane: Lane = Lane.BULK
) -> AsyncIterator[None]:
    """Two clients that send the next request as soon as they have an answer."""

    async def client() -> None:
        while True:
            await ask(scheduler, lengths, lane)

    clients = [asyncio.ensure_future(client()) for _ in range(2)]
    try:
        yield
    finally:
        for one in clients:
            one.cancel()
        await asyncio.wait(clients)


def first_come_first_served(lengths: Sequence[int], limits: BatchLimits, forward: Forward) -> list[int]:
    """The rule of text-embeddings-inference: in order, until the next one would be too much."""
    longest = 0
    for count, length in enumerate(lengths):
        longest = max(longest, length)
        if count and longest * (count + 1) > limits.max_tokens:
            return list(range(count))
    return list(range(len(lengths)))


def run_mixed_load() -> tuple[float, float]:
    """The tokens per second of a padded model, and its padding per token run."""

    async def main() -> tuple[float, float]:
        machine = Machine(speeds=[PADDED])
        lengths = mixed(3000)
        async with open_simulated(machine) as (scheduler, _):
            began = now()
            parts = [lengths[first : first + 30] for first in range(0, len(lengths), 30)]
            await asyncio.gather(*(ask(scheduler, part, Lane.BULK) for part in parts))
            rate = sum(lengths) / (now() - began)
        padding = machine.value("embedd_padding_tokens_total")
        return rate, padding / (padding + machine.value("embedd_tokens_total"))

    return simulate(main())


def test_on_a_padded_model_little_is_padded_and_a_third_more_gets_through_than_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rate, waste = run_mixed_load()
    monkeypatch.setattr("embedd.lanes.cut_batch", first_come_first_served)
    rate_in_order, waste_in_order = run_mixed_load()
    assert waste <= 0.15 < waste_in_order
    assert rate >= 1.3 * rate_in_order


@pytest.mark.parametrize("bulk", [[60] * 64, [500] * 64, [10, 100, 500] * 30])
def test_a_person_waits_for_less_than_two_batches_of_a_client_that_never_stops(bulk: list[int]) -> None:
    async def main() -> list[float]:
        chance = random.Random(11)
        waits = []
        async with open_simulated(Machine()) as (scheduler, _), saturated(scheduler, bulk):
            for _ in range(500):
                await asyncio.sleep(chance.expovariate(5.0))
                waits.append(await ask(scheduler, [16], Lane.INTERACTIVE))
        return waits

    p99 = quantiles(simulate(main()), n=100)[98]
    assert p99 <= 2 * FULL_S + PACKED.seconds([16])


def test_people_do_not_cost_the_jobs_their_rate() -> None:
    async def main() -> float:
        machine = Machine()
        async with open_simulated(machine) as (scheduler, _), saturated(scheduler, [60] * 200):
            began = now()
            for _ in range(100):
                await asyncio.sleep(0.2)
                await ask(scheduler, [16], Lane.INTERACTIVE)
            return machine.value("embedd_tokens_total") / (now() - began)

    assert simulate(main()) > 0.93 * 1020 / PACKED.seconds([1020])


def test_no_job_waits_longer_than_its_patience_while_people_never_stop() -> None:
    async def main() -> list[float]:
        async with (
            open_simulated(Machine(), bulk_patience_s=1.0) as (scheduler, _),
            saturated(scheduler, [60] * 64, Lane.INTERACTIVE),
        ):
            waits = []
            for _ in range(30):
                await asyncio.sleep(0.7)
                waits.append(await ask(scheduler, [100], Lane.BULK))
        return waits

    assert max(simulate(main())) <= 1.0 + 2 * FULL_S + PACKED.seconds([100])


@pytest.mark.parametrize("speed", [PACKED, PADDED])
def test_no_length_waits_much_longer_than_others_at_nine_tenths_of_capacity(speed: Speed) -> None:
    async def main() -> dict[int, list[float]]:
        chance = random.Random(13)
        waits: dict[int, list[float]] = {length: [] for length in (10, 50, 200, 500)}
        lengths = list(waits)

        async def client(length: int) -> None:
            waits[length].append(await ask(scheduler, [length], Lane.BULK))

        async with open_simulated(Machine(speeds=[speed])) as (scheduler, _), asyncio.TaskGroup() as group:
            for _ in range(4000):
                await asyncio.sleep(chance.expovariate(0.9 * speed.tokens_per_s / 1.1 / 190))
                group.create_task(client(chance.choice(lengths)))
        return waits

    longest = {length: max(waits) for length, waits in simulate(main()).items()}
    assert max(longest.values()) <= 1.0


@pytest.mark.parametrize("patience_s", [None, 10.0])
def test_at_ten_times_the_capacity_nine_tenths_of_it_is_answered_and_nothing_is_late(
    patience_s: float | None,
) -> None:
    """Requests of 32 texts for a minute. A client waits as long as the whole lane takes, or ten seconds."""

    async def main() -> tuple[float, int, int]:
        chance = random.Random(17)
        answered = late = refused = 0

        async def client() -> None:
            nonlocal answered, late, refused
            deadline = now() + (patience_s or 30.0)
            try:
                await scheduler.run(inputs_of([60] * 32), Lane.BULK, deadline)
                answered += now() < ends
            except DeadlineExceeded:
                late += 1
            except Overloaded:
                refused += 1

        async with open_simulated(Machine(), max_waiting_tokens=524_288) as (scheduler, _):
            await ask(scheduler, [60] * 320, Lane.BULK)
            ends = now() + 60.0
            async with asyncio.TaskGroup() as group:
                while now() < ends:
                    await asyncio.sleep(chance.expovariate(10 * capacity / (32 * 60)))
                    group.create_task(client())
        return answered * 32 * 60 / 60.0, late, refused

    capacity = 1020 / PACKED.seconds([60] * 17)
    goodput, late, refused = simulate(main())
    assert goodput >= 0.9 * capacity
    assert late == 0
    assert refused > 5000


def test_requests_of_many_texts_are_answered_one_after_the_other() -> None:
    """Not all at the end, as they would be if the lengths of all were sorted."""

    async def main() -> list[float]:
        async with open_simulated(Machine()) as (scheduler, _):
            began, answered = now(), []

            async def client(lengths: list[int]) -> None:
                await ask(scheduler, lengths, Lane.BULK)
                answered.append(now() - began)

            lengths = mixed(40 * 32)
            parts = [lengths[first : first + 32] for first in range(0, len(lengths), 32)]
            await asyncio.gather(*map(client, parts))
        return answered

    answered = simulate(main())
    one = answered[-1] / 40
    assert all(at <= (number + 3) * one for number, at in enumerate(answered, start=1))


def test_clients_that_leave_while_they_wait_cost_nothing() -> None:
    async def main() -> float:
        chance = random.Random(19)
        answered = 0

        async def client() -> None:
            nonlocal answered
            try:
                async with asyncio.timeout(chance.uniform(0.0, 4.0)):
                    await scheduler.run(inputs_of([60] * 32), Lane.BULK)
                answered += 1
            except (TimeoutError, Overloaded):
                return

        machine = Machine()
        async with open_simulated(machine, max_waiting_tokens=50_000) as (scheduler, _):
            began = now()
            async with asyncio.TaskGroup() as group:
                for _ in range(1000):
                    await asyncio.sleep(chance.expovariate(4 * capacity / (32 * 60)))
                    group.create_task(client())
            assert scheduler.waiting_pieces(Lane.BULK) == 0
            ran = machine.value("embedd_tokens_total")
            assert ran > 0.97 * capacity * (now() - began), "the worker was busy"
        return answered * 32 * 60 / ran

    capacity = 1020 / PACKED.seconds([60] * 17)
    assert simulate(main()) > 0.75, "what ran was for somebody, but for those who left half way"


@pytest.mark.parametrize("speeds", [[PACKED], [PADDED], [PACKED, Speed(tokens_per_s=8000)]])
@pytest.mark.parametrize("people", [False, True])
def test_a_refused_client_that_returns_when_told_finds_room(speeds: list[Speed], people: bool) -> None:
    async def main() -> tuple[float, float]:
        async with AsyncExitStack() as stack:
            machine = open_simulated(Machine(speeds=speeds), max_waiting_tokens=50_000)
            scheduler, _ = await stack.enter_async_context(machine)
            calls = [asyncio.ensure_future(ask(scheduler, mixed(n), Lane.BULK)) for n in (150, 400)]
            if people:
                await stack.enter_async_context(saturated(scheduler, [60] * 8, Lane.INTERACTIVE))
            await asyncio.sleep(1.0)
            with pytest.raises(Overloaded) as refusal:
                scheduler.admit(Lane.BULK)
            refused = now()
            while True:
                try:
                    scheduler.admit(Lane.BULK)
                    break
                except Overloaded:
                    await asyncio.sleep(0.01)
            actual = now() - refused
            await asyncio.gather(*calls)
        return refusal.value.retry_after_s, actual

    told, actual = simulate(main())
    assert actual > 0.5
    assert 0.5 <= told / actual <= 2.0


def test_a_worker_that_dies_under_load_costs_no_answer() -> None:
    async def dies_now_and_then(worker: object, payload: object) -> list[int]:
        if chance.random() < 0.01:
            machine.workers[worker.pid].kill()
            await asyncio.Event().wait()
        return []

    async def main() -> None:
        async with open_simulated(machine) as (scheduler, _), asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(ask(scheduler, [60] * 32, Lane.BULK))

    chance = random.Random(23)
    machine = Machine(on_batch=dies_now_and_then, speeds=[PACKED, PACKED])
    simulate(main())
    assert len(machine.workers) > 2
