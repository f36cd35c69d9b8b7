"""How workers are started, replaced and given up, on a simulated clock."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from simulated import Machine, SimulatedWorker, Speed, inputs_of, open_simulated, simulate

from embedd.errors import CallFailed, ModelLoadError, ModelUnavailable
from embedd.lanes import Lane
from embedd.pool import ModelStatus


class Torn:
    """Weights that cannot be loaded while they are ``torn``; ``starts`` has the times of all attempts."""

    def __init__(self) -> None:
        self.torn = False
        self.starts: list[float] = []

    def __call__(self, _: SimulatedWorker) -> None:
        self.starts.append(now())
        if self.torn:
            raise ModelLoadError("the weights are torn")

    @property
    def pauses(self) -> list[float]:
        return [round(self.starts[n] - self.starts[n - 1], 1) for n in range(1, len(self.starts))]


def now() -> float:
    return asyncio.get_running_loop().time()


QUICK = Speed(load_s=0.0)


def test_starts_that_fail_are_tried_again_after_ever_longer_pauses() -> None:
    async def main() -> None:
        weights = Torn()
        machine = Machine(on_load=weights, speeds=[QUICK])
        async with open_simulated(machine) as (scheduler, pool):
            weights.torn = True
            machine.workers[0].kill()
            await asyncio.sleep(140.0)
            assert pool.status == ModelStatus("failed", "the weights are torn")
            assert weights.pauses[1:] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]
            with pytest.raises(ModelUnavailable, match="cannot be loaded: the weights are torn") as refusal:
                scheduler.admit(Lane.BULK)
            assert refusal.value.retry_after_s == 30.0
            with pytest.raises(ModelUnavailable):
                await pool.wait_ready()
            weights.torn = False
            await asyncio.sleep(30.0)
            assert pool.status.state == "ready"
            await pool.wait_ready()
        assert machine.value("embedd_worker_restarts_total") == len(weights.starts) - 1

    simulate(main())


def test_a_worker_that_lived_for_long_is_replaced_at_once() -> None:
    async def main() -> None:
        weights = Torn()
        machine = Machine(on_load=weights, speeds=[QUICK])
        async with open_simulated(machine) as (_, _pool):
            deaths = []
            for lifetime_s in (1.0, 1.0, 31.0, 1.0):
                await asyncio.sleep(lifetime_s)
                deaths.append(now())
                machine.workers[-1].kill()
                await asyncio.sleep(1.0)
        pauses = [round(start - death, 1) for start, death in zip(weights.starts[1:], deaths, strict=True)]
        assert pauses == [0.1, 0.2, 0.1, 0.2]

    simulate(main())


def test_who_waits_for_a_worker_is_told_when_there_will_be_none() -> None:
    async def main() -> None:
        weights = Torn()
        machine = Machine(on_load=weights)
        async with open_simulated(machine) as (scheduler, pool):
            weights.torn = True
            machine.workers[0].kill()
            waiting = asyncio.ensure_future(pool.wait_ready())
            with pytest.raises(ModelUnavailable, match="the weights are torn"):
                await scheduler.run(inputs_of([16]), Lane.BULK)
            with pytest.raises(ModelUnavailable, match="the weights are torn"):
                await waiting
            assert scheduler.waiting_pieces(Lane.BULK) == 0

    simulate(main())


def test_a_model_is_failed_only_when_none_of_its_workers_starts() -> None:
    async def main() -> None:
        weights = Torn()
        machine = Machine(on_load=weights, speeds=[QUICK, QUICK])
        async with open_simulated(machine) as (scheduler, pool):
            weights.torn = True
            machine.workers[0].kill()
            await asyncio.sleep(60.0)
            assert pool.status.state == "ready"
            await scheduler.run(inputs_of([16]), Lane.BULK)
            assert machine.value("embedd_workers_live") == 1

    simulate(main())


def test_a_worker_that_died_is_loading_again_and_says_why() -> None:
    async def main() -> None:
        machine = Machine()
        async with open_simulated(machine) as (_, pool):
            machine.workers[0].kill()
            await asyncio.sleep(0.01)
            reason = "the worker of model 'simulated' was killed by SIGKILL and is started again"
            assert pool.status == ModelStatus("loading", reason)
            assert pool.hello["device"] == "cpu"
            await pool.wait_ready()
            assert pool.status == ModelStatus("ready")

    simulate(main())


def test_a_failure_that_no_model_should_have_ends_the_worker() -> None:
    async def main() -> None:
        async def fails_once(worker: SimulatedWorker, payload: Mapping[str, Any]) -> list[int]:
            if worker.pid == 0:
                raise CallFailed("RuntimeError", "CUDA error: an illegal memory access was encountered")
            return []

        machine = Machine(on_batch=fails_once)
        async with open_simulated(machine) as (scheduler, _):
            await scheduler.run(inputs_of([16]), Lane.BULK)
        assert len(machine.workers) == 2

    simulate(main())


def test_a_batch_is_as_large_as_the_device_of_its_worker_needs_it() -> None:
    async def main() -> None:
        speeds = [Speed(), Speed(device="cuda:0", tokens_per_s=1e6)]
        machine = Machine(speeds=speeds)
        async with open_simulated(machine) as (scheduler, _):
            await scheduler.run(inputs_of([64] * 3000), Lane.BULK)
        sizes = {sum(batch) for batch in machine.batches}
        assert {1024, 16_384} <= sizes

    simulate(main())
