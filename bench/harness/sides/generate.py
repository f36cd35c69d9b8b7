"""transformers' own generation: ``generate()`` on a batch of equal lengths, and ``generate_batch()``."""

import time
from collections.abc import Sequence
from typing import Any

from harness.sides.serving import begin, serve


class GenerateSide:
    """The model as the library loads it."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        import torch  # noqa: PLC0415 - after the process has been kept to its cores
        from transformers import AutoModelForCausalLM  # noqa: PLC0415

        torch.set_num_threads(len(configuration["cores"]))
        self._torch = torch
        dtype = getattr(torch, configuration["dtype"])
        self._model: Any = AutoModelForCausalLM.from_pretrained(configuration["folder"], dtype=dtype)
        self._pages = configuration["pages"]

    def generate(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> dict[str, Any]:
        """All prompts have one length: nothing is padded."""
        began = time.perf_counter()
        options = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0}
        self._model.generate(self._torch.tensor(prompts), max_new_tokens=new_tokens, **options)
        return {"seconds": time.perf_counter() - began}

    def generate_batch(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> dict[str, Any]:
        """Continuous batching, with memory for what is asked and no more."""
        from transformers import ContinuousBatchingConfig, GenerationConfig  # noqa: PLC0415

        self._model.set_attn_implementation("sdpa")
        batching = ContinuousBatchingConfig(page_size=32, num_blocks=self._pages, max_batch_tokens=512)
        settings: Any = GenerationConfig()  # type: ignore[no-untyped-call]
        settings.update(do_sample=False, max_new_tokens=new_tokens, eos_token_id=-1, pad_token_id=0)
        began = time.perf_counter()
        answers = self._model.generate_batch(
            [list(prompt) for prompt in prompts],
            generation_config=settings,
            continuous_batching_config=batching,
            progress_bar=False,
        )
        seconds = time.perf_counter() - began
        lengths = [len(answer.generated_tokens) for answer in answers.values()]
        assert lengths == [new_tokens] * len(prompts), lengths
        return {"seconds": seconds}


def main() -> None:
    side = GenerateSide(begin())
    serve({"generate": side.generate, "generate_batch": side.generate_batch})


if __name__ == "__main__":
    main()
