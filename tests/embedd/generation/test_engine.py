"""Requests beside each other: nobody's answer depends on the others, and no page is lost."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_generators import (
    END,
    answer_of,
    build_generator,
    open_engine,
    prompts,
    request_of,
    run_all,
    run_steps,
)

from embedd.worker.generation.engine import Engine
from embedd.worker.generation.grammar import Grammars
from embedd.worker.generation.requests import Request

SETTINGS = (
    {},
    {"temperature": 0.7, "seed": 1},
    {"temperature": 1.3, "top_p": 0.8, "seed": 2},
    {"temperature": 1.0, "top_k": 5, "seed": 3, "speculate": True},
    {"temperature": 0.9, "min_p": 0.1, "seed": 4, "logprobs": 3},
    {"repetition_penalty": 1.3, "speculate": True},
    {"temperature": 0.8, "presence_penalty": 1.0, "frequency_penalty": 0.5, "seed": 5},
    {"temperature": 2.0, "logit_bias": {7: 20.0, 9: -5.0}, "stop_ids": [7], "seed": 6},
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_generator(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def engine(folder: Path) -> Iterator[Engine]:
    engine = open_engine(folder)
    yield engine
    engine.check()


def crowd(folder: Path) -> list[Request]:
    """Thirty-two requests, no two alike."""
    grammars = Grammars(folder, 300)
    asked = prompts([3 + 7 * n for n in range(32)])
    requests = []
    for number, prompt in enumerate(asked):
        changes = dict(SETTINGS[number % len(SETTINGS)])
        if number % 10 == 9:
            changes["grammar"] = grammars.compile({"kind": "lark", "value": "start: /[a-z]+/"})
        requests.append(request_of(number, prompt, 5 + number, **changes))
    return requests


def test_thirty_two_different_requests_each_equal_their_solo_run(folder: Path) -> None:
    together = run_all(open_engine(folder), crowd(folder))
    engine = open_engine(folder)
    alone = [run_all(engine, [request])[0] for request in crowd(folder)]
    assert together == alone


def test_small_steps_give_the_same_answers(folder: Path) -> None:
    large = run_all(open_engine(folder, max_batch_tokens=512), crowd(folder))
    small = run_all(open_engine(folder, max_batch_tokens=9), crowd(folder))
    assert small == large


def test_preemption_leaves_answers_unchanged(folder: Path) -> None:
    def growing() -> list[Request]:
        return [
            request_of(n, prompt, 100, temperature=1.0, seed=n, speculate=n % 2 == 0)
            for n, prompt in enumerate(prompts([5, 20, 9, 31, 40, 2, 8, 3]))
        ]

    roomy, scarce = open_engine(folder), open_engine(folder, pages=14)
    assert run_all(scarce, growing()) == run_all(roomy, growing())
    assert roomy.figures()["preempted"] == 0
    assert scarce.figures()["preempted"] > 0


def test_a_prefix_that_is_known_gives_the_same_answer_and_is_told(engine: Engine) -> None:
    [prompt] = prompts([150])
    cold, warm = request_of(1, prompt), request_of(2, prompt)
    assert run_all(engine, [cold]) == run_all(engine, [warm])
    assert (cold.cached_tokens, warm.cached_tokens) == (0, 128)


def test_answers_are_known_prefixes_of_what_follows_them(engine: Engine) -> None:
    [prompt] = prompts([20])
    first = request_of(1, prompt, 60)
    run_all(engine, [first])
    second = request_of(2, [*prompt, *answer_of(first), *prompts([9])[0]])
    run_all(engine, [second])
    assert second.cached_tokens == 64


def test_equal_prompts_that_come_together_are_computed_once(engine: Engine) -> None:
    [prompt] = prompts([150])
    requests = [request_of(n, prompt, temperature=1.0, seed=n) for n in range(4)]
    for request in requests:
        engine.add(request)
    reports = run_steps(engine)
    assert [request.cached_tokens for request in requests] == [0, 128, 128, 128]
    assert sum(report.prefill_tokens for report in reports) == 150 + 3 * 22


def test_a_prompt_of_whole_pages_leaves_one_token_to_compute(engine: Engine) -> None:
    [prompt] = prompts([64])
    run_all(engine, [request_of(1, prompt)])
    again = request_of(2, prompt)
    run_all(engine, [again])
    assert again.cached_tokens == 32


def test_running_answers_get_a_token_in_every_step_while_a_long_prompt_is_computed(engine: Engine) -> None:
    engine.add(request_of(1, [5, 6, 7], 100))
    while not engine.step().tokens:
        pass
    engine.add(request_of(2, prompts([400])[0], 4))
    steps = 0
    while (report := engine.step()).prefill_tokens:
        assert 1 in [number for number, _, _ in report.tokens]
        assert report.prefill_tokens <= 64
        steps += 1
    assert steps >= 400 // 64
    run_steps(engine)


def test_who_came_first_is_let_in_first(folder: Path) -> None:
    engine = open_engine(folder, max_running=2)
    requests = [request_of(n, prompt, 6) for n, prompt in enumerate(prompts([40, 3, 30, 3]))]
    for request in requests:
        engine.add(request)
    ended = [request.id for report in run_steps(engine) for request in report.ended]
    assert sorted(ended[:2]) == [0, 1]


def test_a_token_that_stops_is_not_part_of_the_answer(engine: Engine) -> None:
    free = run_all(engine, [request_of(1, [5, 6, 7], 30)])[0]
    stop = free[10]
    request = request_of(2, [5, 6, 7], 30, stop_ids=[stop, END])
    assert run_all(engine, [request])[0] == free[: free.index(stop)]
    assert request.result()["finish_reason"] == "stop"
    assert request.result()["completion_tokens"] == free.index(stop)


def test_a_cancelled_request_is_gone_before_the_next_step(engine: Engine) -> None:
    requests = [request_of(n, prompt, 50) for n, prompt in enumerate(prompts([60, 20, 90]))]
    for request in requests:
        engine.add(request)
    engine.step()
    ended = engine.cancel(1)
    assert ended is not None
    assert ended.finish_reason == "cancelled"
    engine.check()
    assert engine.cancel(1) is None
    assert all(1 not in [id for id, _, _ in report.tokens] for report in run_steps(engine))


def test_cancelling_at_random_moments_leaks_no_page(folder: Path) -> None:
    engine, generator = open_engine(folder, pages=40), np.random.default_rng(11)
    shared = prompts([64])[0]
    alive: set[int] = set()
    for number in range(400):
        own = prompts([int(generator.integers(1, 60))], seed=number)[0]
        prompt = [*shared, *own] if number % 3 else own
        engine.add(request_of(number, prompt, int(generator.integers(1, 30)), speculate=True))
        alive.add(number)
        for _ in range(int(generator.integers(0, 4))):
            alive -= {request.id for request in engine.step().ended} if engine.busy else set()
        if generator.random() < 0.7 and alive:
            gone = int(generator.choice(sorted(alive)))
            engine.cancel(gone)
            alive.discard(gone)
        engine.check()
    run_steps(engine)
    engine.check()
    assert engine.figures()["free_pages"] == 40


def test_log_probabilities_are_those_of_the_model_before_anything_is_changed(engine: Engine) -> None:
    settings = {"temperature": 0.5, "seed": 3, "logit_bias": {5: 3.0}, "repetition_penalty": 1.5}
    plain, changed = (
        request_of(1, [5, 6], 1, logprobs=300),
        request_of(2, [5, 6], 1, logprobs=300, **settings),
    )
    engine.add(plain)
    engine.add(changed)
    [(_, [best], [one]), (_, [other], [two])] = engine.step().tokens
    assert one[1] == two[1]
    assert one[0] == one[1][0][1] == dict(one[1])[best]
    assert two[0] == dict(two[1])[other]
    assert np.exp([value for _, value in one[1]]).sum() == pytest.approx(1, abs=1e-4)


def test_log_probabilities_of_the_chosen_token_alone_can_be_had(engine: Engine) -> None:
    engine.add(request_of(1, [5, 6], 3, logprobs=0))
    [(_, _, [(value, best)])] = engine.step().tokens
    assert value < 0
    assert best == []
    run_steps(engine)
