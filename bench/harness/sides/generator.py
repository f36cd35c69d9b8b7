"""The engine without the service and without its process: requests in, steps timed."""

import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.sides.serving import begin, serve

RUNNING_BESIDE = 4
"""Answers that run while a long prompt comes."""


class GeneratorSide:
    """A model and engines over it; every step that measures what is computed begins with an empty memory."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        # As the worker has it; read when torch is loaded.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import torch  # noqa: PLC0415 - after the process has been kept to its cores

        from embedd.worker.generation.model import Model, Placement  # noqa: PLC0415

        torch.set_num_threads(len(configuration["cores"]))
        self._pages = configuration["pages"]
        placement = Placement(
            device="cpu", dtype=configuration["dtype"], int8=configuration.get("int8", False)
        )
        self._model = Model(Path(configuration["folder"]), placement)
        self._requests = 0

    def describe(self) -> dict[str, Any]:
        return {"dtype": str(self._model.dtype), "weights_bytes": self._model.weights_bytes}

    def decode(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> dict[str, Any]:
        """Everybody at once: the whole time, and that of steps in which all of them decode."""
        return self._run(prompts, new_tokens, speculate=False) | {"steps": self._steady(prompts, new_tokens)}

    def speculate(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> dict[str, Any]:
        """With drafts and without, one after the other."""
        plain = self._run(prompts, new_tokens, speculate=False)
        drafted = self._run(prompts, new_tokens, speculate=True)
        assert drafted["answers"] == plain["answers"]
        return {"plain": plain, "drafted": drafted}

    def cached(self, prompt: Sequence[int], shared: int) -> dict[str, Any]:
        """Seconds to the first token of a prompt, cold and with its first ``shared`` tokens known."""
        engine = self._open()
        cold = self._first_token(engine, prompt)
        other = [*prompt[:shared], *(token + 1 for token in prompt[shared:])]
        return {"cold": cold, "warm": self._first_token(engine, other)}

    def stall(self, prompts: Sequence[Sequence[int]], long: Sequence[int], steps: int) -> dict[str, Any]:
        """Step times of running answers alone, and while a long prompt is computed."""
        engine = self._open_running(prompts)
        idle = [engine.step().seconds for _ in range(steps)]
        engine.add(self._request(long, 1))
        busy = []
        while (report := engine.step()).prefill_tokens:
            busy.append(report.seconds)
        return {"idle": idle, "busy": busy}

    def disconnects(self, count: int, seed: int) -> dict[str, Any]:
        """Requests that leave at random moments, and how many pages are then missing."""
        chance, engine = random.Random(seed), self._open()
        free = engine.figures()["free_pages"]
        for _ in range(count):
            request = self._request([chance.randrange(900) for _ in range(chance.randrange(1, 200))], 50)
            engine.add(request)
            for _ in range(chance.randrange(6)):
                if engine.busy:
                    engine.step()
            if chance.random() < 0.9:
                engine.cancel(request.id)
            engine.check()
        while engine.busy:
            engine.step()
        engine.check()
        return {"leaked": free - engine.figures()["free_pages"]}

    def memory(self, count: int, seed: int) -> dict[str, Any]:
        """Resident bytes after a tenth of so many requests, and after all of them."""
        chance, engine, readings = random.Random(seed), self._open(), []
        for number in range(count):
            engine.add(self._request([chance.randrange(900) for _ in range(chance.randrange(1, 100))], 8))
            while engine.busy and (number % 16 == 15 or number == count - 1):
                engine.step()
            if number + 1 in {count // 10, count}:
                readings.append(resident_bytes())
        return {"first": readings[0], "last": readings[-1]}

    def _run(self, prompts: Sequence[Sequence[int]], new_tokens: int, *, speculate: bool) -> dict[str, Any]:
        engine = self._open()
        requests = [self._request(prompt, new_tokens, speculate=speculate) for prompt in prompts]
        began = time.perf_counter()
        for request in requests:
            engine.add(request)
        prefill = 0.0
        while engine.busy:
            if engine.step().prefill_tokens:
                prefill = time.perf_counter() - began
        seconds = time.perf_counter() - began
        return {
            "seconds": seconds,
            "decode_s": seconds - prefill,
            "accepted": sum(request.accepted for request in requests),
            "rejected": sum(request.rejected for request in requests),
            "answers": [request.tokens[-new_tokens:] for request in requests],
        }

    def _steady(self, prompts: Sequence[Sequence[int]], steps: int) -> list[float]:
        engine = self._open_running(prompts)
        return [engine.step().seconds for _ in range(steps)]

    def _open_running(self, prompts: Sequence[Sequence[int]]) -> Any:
        """An engine in which all ``prompts`` are computed, and answers will not end soon."""
        engine = self._open()
        for prompt in prompts:
            engine.add(self._request(prompt, 20_000))
        while engine.step().prefill_tokens or engine.figures()["waiting"]:
            pass
        return engine

    def _first_token(self, engine: Any, prompt: Sequence[int]) -> float:
        began = time.perf_counter()
        engine.add(self._request(prompt, 1))
        while engine.busy:
            engine.step()
        return time.perf_counter() - began

    def _open(self) -> Any:
        from embedd.worker.generation.engine import Engine  # noqa: PLC0415
        from embedd.worker.generation.scheduler import Limits  # noqa: PLC0415

        return Engine(self._model, self._pages, Limits(max_batch_tokens=256, max_running=64))

    def _request(self, prompt: Sequence[int], new_tokens: int, *, speculate: bool = False) -> Any:
        import numpy as np  # noqa: PLC0415

        from embedd.worker.generation.requests import Request  # noqa: PLC0415

        self._requests += 1
        payload = {
            "prompt": np.array(prompt, dtype=np.int32),
            "max_tokens": new_tokens,
            "stop_ids": [],
            "sampling": {"temperature": 0.0},
            "logprobs": None,
            "speculate": speculate,
        }
        context = self._pages * self._model.page_tokens
        return Request.parse(self._requests, self._requests, payload, context=context, grammar=None)


def resident_bytes() -> int:
    """Of this process, as Linux counts it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def main() -> None:
    side = GeneratorSide(begin())
    steps = ("describe", "decode", "speculate", "cached", "stall", "disconnects", "memory")
    serve({name: getattr(side, name) for name in steps})


if __name__ == "__main__":
    main()
