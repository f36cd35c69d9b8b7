"""The engine on a GPU: paged attention by flash attention, decode steps as graphs. Not run without one."""

from pathlib import Path

import pytest
import torch
from tiny_generators import build_generator, open_engine, prompts, request_of, run_all

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]
LENGTHS = (1, 5, 33, 100, 300)


@pytest.mark.parametrize("family", ["llama", "qwen3", "mistral"])
def test_answers_begin_as_those_of_the_cpu(tmp_path: Path, family: str) -> None:
    folder = build_generator(tmp_path, family)
    asked = [request_of(n, prompt, 4) for n, prompt in enumerate(prompts(LENGTHS))]
    again = [request_of(n, prompt, 4) for n, prompt in enumerate(prompts(LENGTHS))]
    found = run_all(open_engine(folder, device="cuda", dtype="bfloat16"), asked)
    expected = run_all(open_engine(folder, dtype="float32"), again)
    same = sum(one == other for one, other in zip(found, expected, strict=True))
    assert same >= len(LENGTHS) - 2, "bfloat16 may tip a close choice"


def test_graphs_give_what_steps_without_them_give(tmp_path: Path) -> None:
    folder = build_generator(tmp_path)
    recorded, plain = (open_engine(folder, device="cuda", dtype="bfloat16") for _ in range(2))
    plain._model._graphs = None
    sequences = [[request_of(n, prompt, 20) for n, prompt in enumerate(prompts(LENGTHS))] for _ in range(2)]
    first, second = run_all(recorded, sequences[0]), run_all(plain, sequences[1])
    same = sum(one == other for one, other in zip(first, second, strict=True))
    assert same >= len(LENGTHS) - 1
