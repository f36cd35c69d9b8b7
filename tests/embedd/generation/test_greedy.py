"""The engine's greedy answers against transformers' own, family by family."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_generators import (
    CONTEXT,
    build_generator,
    configs,
    generate,
    open_engine,
    prompts,
    request_of,
    run_all,
)
from transformers import AutoModelForCausalLM, BertConfig, BertLMHeadModel

from embedd.errors import ModelLoadError
from embedd.worker.generation.engine import PromptTooLong

LENGTHS = (1, 5, 32, 33, 64, 100)
"""Below, at and above a page, and longer than the windows and than a step."""
WITHIN = 1e-4
"""Logits nearer than that may come in either order."""


@pytest.mark.parametrize("family", sorted(configs()))
def test_answers_are_those_of_generate(tmp_path: Path, family: str) -> None:
    folder = build_generator(tmp_path, family)
    engine = open_engine(folder, max_batch_tokens=48)
    asked = prompts(LENGTHS)
    answers = run_all(engine, (request_of(n, prompt, 40) for n, prompt in enumerate(asked)))
    expected = [generate(folder, prompt, 40) for prompt in asked]
    ties = 0
    for prompt, answer, wanted in zip(asked, answers, expected, strict=True):
        if answer != wanted:
            place = next(n for n in range(40) if answer[n] != wanted[n])
            assert margin(folder, [*prompt, *wanted[:place]]) < WITHIN
            ties += 1
    assert ties <= 1
    assert len({token for answer in answers for token in answer}) > 5, "answers that say something"


def margin(folder: Path, tokens: list[int]) -> float:
    """How far the two best logits behind ``tokens`` are apart."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    best = model(torch.tensor([tokens])).logits[0, -1].topk(2).values
    return float(best[0] - best[1])


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_bfloat16_weights_give_nearly_the_same_logits(tmp_path: Path, family: str) -> None:
    folder = build_generator(tmp_path, family)
    exact, narrow = (logprobs_of(folder, dtype=dtype) for dtype in ("float32", "bfloat16"))
    assert np.abs(exact - narrow).max() < 0.5
    assert not np.array_equal(exact, narrow)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_int8_weights_give_nearly_the_same_logits(tmp_path: Path, family: str) -> None:
    folder = build_generator(tmp_path, family)
    exact, narrow = (logprobs_of(folder, int8=int8) for int8 in (False, True))
    assert np.abs(exact - narrow).max() < 0.5
    assert not np.array_equal(exact, narrow)


def logprobs_of(folder: Path, **placement: object) -> np.ndarray:
    """Of every token behind a prompt."""
    engine = open_engine(folder, **placement)
    engine.add(request_of(0, prompts([20])[0], 1, logprobs=300))
    report = engine.step()
    [(_, _, logprobs)] = report.tokens
    return np.array([value for _, value in sorted(logprobs[0][1])])


def test_a_prompt_without_room_for_an_answer_is_refused(tmp_path: Path) -> None:
    engine = open_engine(build_generator(tmp_path))
    with pytest.raises(PromptTooLong, match=f"the prompt has {CONTEXT} tokens.* {CONTEXT} fit"):
        engine.add(request_of(0, [5] * CONTEXT))


def test_an_answer_ends_where_the_context_does(tmp_path: Path) -> None:
    engine = open_engine(build_generator(tmp_path))
    request = request_of(0, prompts([CONTEXT - 3])[0], 50)
    [answer] = run_all(engine, [request])
    assert (len(answer), request.finish_reason) == (3, "length")


def test_few_pages_make_a_short_context(tmp_path: Path) -> None:
    assert open_engine(build_generator(tmp_path), pages=3).context == 96


def test_positions_that_change_with_length_are_served_up_to_where_they_change(tmp_path: Path) -> None:
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
    folder = build_generator(tmp_path, rope_parameters={**rope, "original_max_position_embeddings": 64})
    assert open_engine(folder).context == 64


def test_a_model_that_looks_ahead_is_refused(tmp_path: Path) -> None:
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    BertLMHeadModel(BertConfig(**shape, vocab_size=60, is_decoder=False)).save_pretrained(tmp_path)
    with pytest.raises(ModelLoadError):
        open_engine(tmp_path)


def test_weights_that_do_not_fit_the_config_are_a_load_error(tmp_path: Path) -> None:
    folder = build_generator(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 128}))
    with pytest.raises(ModelLoadError, match="cannot be loaded"):
        open_engine(folder)


def test_float16_on_a_cpu_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="take float32 or bfloat16"):
        open_engine(build_generator(tmp_path), dtype="float16")
