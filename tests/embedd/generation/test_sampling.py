"""How tokens are chosen, against the plainest numpy there is."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_generators import request_of

from embedd.worker.generation.requests import Request, Work
from embedd.worker.generation.sampling import choose

WORDS = 40
MANY = 4000


def logits_of(rows: int = 1, seed: int = 0, words: int = WORDS) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, (rows, words)).astype(np.float32)


def choose_one(request: Request, logits: np.ndarray) -> int:
    [[choice]] = choose([Work(request, [1], (), 1)], torch.from_numpy(logits.copy()))
    assert choice.token is not None
    return choice.token


def distribution(logits: np.ndarray, count: int = MANY, **settings: Any) -> np.ndarray:
    """How often each token is chosen, over seeds."""
    requests = [
        request_of(seed, [1, 2], **({"temperature": 1.0, "seed": seed} | settings)) for seed in range(count)
    ]
    rows = torch.from_numpy(np.repeat(logits, count, axis=0))
    chosen = choose([Work(request, [1], (), 1) for request in requests], rows)
    tokens = [choice.token for [choice] in chosen]
    return np.bincount(tokens, minlength=logits.shape[1]) / count


def expected(logits: np.ndarray, **settings: Any) -> np.ndarray:
    """The distribution as the settings' definitions have it."""
    scaled = logits[0].astype(np.float64) / settings.get("temperature", 1.0)
    chances = np.exp(scaled - scaled.max())
    chances /= chances.sum()
    order = np.argsort(-chances, kind="stable")
    if top_k := settings.get("top_k"):
        chances[order[top_k:]] = 0
        chances /= chances.sum()
    if (top_p := settings.get("top_p", 1.0)) < 1:
        before = np.cumsum(chances[order]) - chances[order]
        chances[order[before >= top_p]] = 0
    if min_p := settings.get("min_p"):
        chances[chances < min_p * chances.max()] = 0
    return chances / chances.sum()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 0.5},
        {"temperature": 2.0},
        {"top_k": 3},
        {"top_k": 1},
        {"top_p": 0.5},
        {"top_p": 0.01},
        {"min_p": 0.3},
        {"top_k": 5, "top_p": 0.6, "min_p": 0.2, "temperature": 1.5},
        {"top_k": 1000},
    ],
)
def test_tokens_come_as_often_as_they_should(settings: dict[str, Any]) -> None:
    wanted, found = expected(logits_of(), **settings), distribution(logits_of(), **settings)
    assert np.abs(wanted - found).sum() < 0.12
    assert found[wanted == 0].sum() == 0


def test_a_cut_far_down_a_large_vocabulary_is_found() -> None:
    flat = np.zeros((1, 5000), dtype=np.float32)
    found = distribution(flat, top_p=0.9)
    assert 1024 < np.count_nonzero(found) <= 4500


@given(
    repetition=st.floats(0.5, 2.0),
    presence=st.floats(-2.0, 2.0),
    frequency=st.floats(-2.0, 2.0),
    bias=st.dictionaries(st.integers(0, WORDS - 1), st.floats(-5, 5), max_size=5),
    answer=st.lists(st.integers(0, WORDS - 1), max_size=12),
)
def test_bias_and_penalties_are_those_of_their_definitions(
    repetition: float, presence: float, frequency: float, bias: dict[int, float], answer: list[int]
) -> None:
    request = request_of(
        0,
        [3, 4, 4],
        100,
        repetition_penalty=repetition,
        presence_penalty=presence,
        frequency_penalty=frequency,
        logit_bias=bias,
    )
    for token in answer:
        request.append(token)
    values = logits_of()[0].astype(np.float64)
    for token, more in bias.items():
        values[token] += more
    for token in {3, 4, *answer}:
        values[token] = values[token] / repetition if values[token] > 0 else values[token] * repetition
    for token in set(answer):
        values[token] -= presence + frequency * answer.count(token)
    chosen = choose_one(request, logits_of())
    assert values[chosen] >= values.max() - 1e-4


def test_drafts_count_in_penalties_as_if_they_were_said() -> None:
    logits = np.zeros((3, WORDS), dtype=np.float32)
    logits[:, 5], logits[:, 6] = 1.0, 0.9
    request = request_of(0, [1], presence_penalty=0.5, speculate=True)
    [chosen] = choose([Work(request, [1, 5, 6], [5, 6], 3)], torch.from_numpy(logits))
    assert [choice.token for choice in chosen] == [5, 6, 5]


def test_a_draft_is_accepted_as_often_as_the_model_would_say_it_and_what_replaces_it_is_the_rest() -> None:
    logits = logits_of(2)
    wanted = expected(logits[:1])
    guess = int(wanted.argmax())
    requests = [request_of(seed, [1], temperature=1.0, seed=seed) for seed in range(MANY)]
    plan = [Work(request, [1, guess], [guess], 2) for request in requests]
    chosen = choose(plan, torch.from_numpy(np.tile(logits, (MANY, 1))))
    found = np.bincount([first.token for first, _ in chosen], minlength=WORDS) / MANY
    assert np.abs(wanted - found).sum() < 0.12
    after = [second.token for first, second in chosen if first.token == guess]
    assert len(after) / MANY == pytest.approx(wanted[guess], abs=0.03)
    behind = np.bincount(after, minlength=WORDS) / len(after)
    assert np.abs(expected(logits[1:]) - behind).sum() < 0.25


def test_the_same_seed_chooses_the_same_and_others_others() -> None:
    logits = logits_of()
    first, second = (
        [choose_one(request_of(0, [1], temperature=3.0, seed=seed), logits) for _ in range(3)]
        for seed in (7, 8)
    )
    assert len(set(first)) == 1
    assert len({*first, *second, choose_one(request_of(0, [1], temperature=3.0, seed=9), logits)}) > 1


def test_without_a_seed_two_requests_differ() -> None:
    assert np.count_nonzero(distribution(logits_of(), 200, seed=None)) > 5


def test_hardly_any_temperature_is_none() -> None:
    assert choose_one(request_of(0, [1], temperature=1e-9, seed=1), logits_of()) == logits_of()[0].argmax()


def test_logits_that_are_no_numbers_are_told_and_harm_nobody_else() -> None:
    logits = logits_of(3)
    logits[1] = np.nan
    requests = [request_of(n, [1], temperature=n * 0.5, seed=n) for n in range(3)]
    chosen = choose([Work(request, [1], (), 1) for request in requests], torch.from_numpy(logits.copy()))
    assert chosen[1][0].token is None
    assert chosen[0][0].token == logits[0].argmax()
    assert chosen[2][0].token == choose_one(requests[2], logits[2:])


def test_work_that_reads_nothing_chooses_nothing() -> None:
    request = request_of(0, [1, 2, 3])
    assert choose([Work(request, [1, 2], (), 0)], torch.empty(0, WORDS)) == [[]]
