"""Drafts change how many steps an answer takes, and nothing else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_generators import answer_of, build_generator, open_engine, prompts, request_of, run_all, run_steps

from embedd.worker.generation.lookup import Lookup
from embedd.worker.generation.pace import Pace
from embedd.worker.generation.requests import Request
from embedd.worker.generation.speculation import Speculation, learn


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_generator(tmp_path_factory.mktemp("llama"))


def repetitive(number: int, **changes: object) -> Request:
    """A prompt that says the same over and over, and what the model answered to it before."""
    phrase = prompts([12], seed=number)[0]
    return request_of(number, phrase * 6, 80, speculate=True, **changes)


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.3, "seed": 5}, {"repetition_penalty": 1.1}])
def test_answers_are_the_same_with_drafts_and_without(folder: Path, settings: dict[str, float]) -> None:
    drafted = [repetitive(n, **settings) for n in range(6)]
    plain = [repetitive(n, **settings) for n in range(6)]
    for request in plain:
        request.speculate = False
    assert run_all(open_engine(folder), drafted) == run_all(open_engine(folder), plain)
    assert sum(request.accepted + request.rejected for request in drafted) > 0
    assert sum(request.accepted + request.rejected for request in plain) == 0


def test_an_answer_that_repeats_itself_takes_fewer_steps(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pace, "record", lambda *_: None)  # whatever a step takes here
    engine, plain = open_engine(folder), open_engine(folder)
    request, slow = request_of(1, [9, 9], 300, speculate=True), request_of(2, [9, 9], 300)
    engine.add(request)
    steps = len(run_steps(engine))
    plain.add(slow)
    assert len(run_steps(plain)) == 300
    assert answer_of(request) == answer_of(slow)
    assert len(set(answer_of(slow)[-100:])) < 100, "it does repeat itself"
    assert steps == 300 - request.accepted < 200


def test_the_longest_earlier_match_is_continued() -> None:
    tokens = [1, 2, 3, 4, 9, 2, 3, 5, 8, 1, 2, 3]
    assert Lookup().draft(tokens, 3) == [4, 9, 2]


def test_of_equal_matches_the_latest_is_continued() -> None:
    assert Lookup().draft([1, 2, 7, 1, 2, 8, 1, 2], 2) == [8, 1]


@pytest.mark.parametrize("tokens", [[], [1], [1, 2], [1, 2, 3, 4]])
def test_without_an_earlier_match_nothing_is_guessed(tokens: list[int]) -> None:
    assert list(Lookup().draft(tokens, 4)) == []


@given(st.lists(st.integers(0, 3), max_size=60))
def test_what_is_guessed_followed_the_longest_match(tokens: list[int]) -> None:
    lookup = Lookup()
    for end in range(len(tokens)):
        lookup.draft(tokens[:end], 3)  # an index that grows, as an answer does
    assert list(lookup.draft(tokens, 3)) == slow_draft(tokens)


def slow_draft(tokens: list[int]) -> list[int]:
    for length in range(min(32, len(tokens) - 1), 1, -1):
        for end in range(len(tokens) - 1, length - 1, -1):
            if tokens[end - length : end] == tokens[-length:]:
                return tokens[end : end + 3]
    return []


def draft_for(requests: list[Request], pace: Pace) -> dict[int, list[int]]:
    return {id: list(drafts) for id, drafts in Speculation(pace).draft(requests).items()}


def timed(seconds: dict[int, float]) -> Pace:
    pace = Pace()
    for rows, one in seconds.items():
        pace.record(rows, one)
    return pace


FLAT = {1: 1.0, 8: 1.05, 32: 1.2}
STEEP = {1: 1.0, 8: 8.0, 32: 32.0}


def test_where_rows_cost_little_drafts_are_long() -> None:
    [drafts] = draft_for([repetitive(1)], timed(FLAT)).values()
    assert len(drafts) >= 3


def test_where_rows_cost_as_much_as_steps_there_are_no_drafts() -> None:
    assert draft_for([repetitive(n) for n in range(8)], timed(STEEP)) == {}


def test_wrong_guesses_make_drafts_short_and_right_ones_long() -> None:
    request = repetitive(1)
    learn(request, drafted=5, accepted=5)
    long = len(draft_for([request], timed(FLAT))[1])
    for _ in range(60):
        learn(request, drafted=5, accepted=0)
    request.tokens.append(request.tokens[0])
    assert long > 5
    assert draft_for([request], timed(FLAT)) == {}
    assert (request.accepted, request.rejected) == (5, 300)
