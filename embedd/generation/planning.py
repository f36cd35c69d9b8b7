"""From a prompt and settings to what a worker is asked and may cost; or to why not, with the numbers.

Knows what the model's files say, and from its worker what it can hold.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from embedd.conversation import Continuation, Prompt
from embedd.errors import InvalidInput, PromptTooLong
from embedd.generation.choice import AnswerForm
from embedd.generation.folder import LanguageFiles
from embedd.generation.grammar import grammar_of
from embedd.generation.pool import Demand
from embedd.generation.reading import Ids, PromptReader, open_prompt_reader
from embedd.generation.run import Plan
from embedd.generation.tool_calls import syntax_of
from embedd.generation.vocabulary import Vocabulary
from embedd.generators import GenerationSettings
from embedd.sampling import Sampling

_TYPICAL_ANSWER = 512
"""Tokens that an answer without a limit is expected to have; workers make room where it has more."""

_HEAD_TOKENS = 64
"""Prompts that begin alike for so long go to the same worker, if it can be helped."""

_NEUTRAL: Mapping[str, Any] = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "seed": None,
    "logit_bias": {},
}


class Planner:
    """Made by ``open_planner``; ``speculate`` allows workers to guess ahead."""

    def __init__(
        self, files: LanguageFiles, vocabulary: Vocabulary, reader: PromptReader, *, speculate: bool
    ) -> None:
        self._files = files
        self._vocabulary = vocabulary
        self._reader = reader
        self._speculate = speculate
        self._syntax = syntax_of(files.template.source) if files.template is not None else None

    async def plan(
        self, prompt: Prompt | Continuation, settings: GenerationSettings, hello: Mapping[str, Any]
    ) -> Plan:
        """What a worker that said ``hello`` is asked.

        Raises:
            PromptTooLong: prompt and answer do not fit into the context.
            InvalidInput: the prompt or the settings are not for this model.
        """
        tokens = min(self._vocabulary.size, int(hello["vocab"]))
        grammar = grammar_of(settings.response_format, settings.tools, self._syntax, self._vocabulary)
        sampling = self._sampling(settings.sampling, tokens)
        ids = await self._reader.read(prompt, settings.tools.active, int(hello["context"]))
        if (unknown := next((id for id in (ids.min(), ids.max()) if not 0 <= id < tokens), None)) is not None:
            raise InvalidInput(f"the prompt has the token {unknown}; this model's are 0 to {tokens - 1}")
        payload = {
            "prompt": ids,
            "max_tokens": _room(ids, settings.max_tokens, hello),
            "stop_ids": list(self._files.stop_ids),
            "sampling": sampling,
            "logprobs": settings.logprobs,
            "grammar": grammar,
            "speculate": self._speculate,
        }
        syntax = self._syntax if settings.tools.active else None
        form = AnswerForm(self._vocabulary, settings.stop, syntax, settings.tools.parallel)
        return Plan(payload, settings.n, form)

    def _sampling(self, asked: Sampling, tokens: int) -> Mapping[str, Any]:
        """The request's word, else the model's own, else none."""
        unknown = next((id for id in asked.logit_bias or {} if not 0 <= id < tokens), None)
        if unknown is not None:
            raise InvalidInput(f"logit_bias names the token {unknown}; this model's are 0 to {tokens - 1}")
        return {**_NEUTRAL, **self._files.defaults.given, **asked.given}


def demand_of(plan: Plan) -> Demand:
    """What ``plan`` will need of a worker's cache, as far as it can be told."""
    ids = plan.payload["prompt"]
    answer = min(plan.payload["max_tokens"], _TYPICAL_ANSWER)
    return Demand(len(ids) + plan.n * answer, ids[:_HEAD_TOKENS].tobytes())


def _room(ids: Ids, asked: int | None, hello: Mapping[str, Any]) -> int:
    """The most tokens an answer may have: as many as were asked for, or as there is any room for."""
    context = int(hello["context"])
    if asked is not None and len(ids) + asked > context:
        raise PromptTooLong(
            f"the prompt has {len(ids)} tokens and the answer may have {asked}, together {len(ids) + asked}; "
            f"the model's context is {context}"
        )
    held = min(context, int(hello["pages"]) * int(hello["page_tokens"]))
    return max(1, held - len(ids)) if asked is None else asked


@asynccontextmanager
async def open_planner(files: LanguageFiles, *, speculate: bool) -> AsyncIterator[Planner]:
    vocabulary = Vocabulary(files.tokenizer)
    async with open_prompt_reader(files, vocabulary) as reader:
        yield Planner(files, vocabulary, reader, speculate=speculate)
