"""A language model of this service, over the fake worker: settings, refusals, losses and departures."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fake_generators import asking, events_of, open_fake_generator, reason_of, text_of, usage_of
from fake_models import until
from prometheus_client import CollectorRegistry

from embedd.conversation import Continuation, Prompt, Tool, ToolChoice, Tools, Turn
from embedd.errors import (
    InvalidGrammar,
    InvalidInput,
    ModelLoadError,
    ModelUnavailable,
    Overloaded,
    PromptTooLong,
    WorkerDied,
)
from embedd.generation.launch import GenerationLimits
from embedd.generation.local import LocalGenerator, open_local_generator
from embedd.generation.metrics import GenerationMetrics
from embedd.generators import Delta, GenerationSettings, TokenLogprob, ToolCallPiece
from embedd.sampling import ResponseFormat, Sampling
from embedd.specs import parse_spec


@pytest.fixture
async def generator() -> AsyncIterator[LocalGenerator]:
    async with open_fake_generator() as generator:
        yield generator


async def shown(generator: LocalGenerator, **settings: Any) -> Any:
    """What the worker was asked."""
    return json.loads(text_of(await events_of(generator, asking("show:"), **settings)))


async def test_an_answer_comes_in_whole_characters_and_with_what_it_took(generator: LocalGenerator) -> None:
    events = await events_of(generator, asking("say: Größe, 日本 🌊"))
    assert text_of(events) == "Größe, 日本 🌊"
    assert not any("\ufffd" in one.text for one in events if isinstance(one, Delta))
    assert reason_of(events) == "stop"
    usage = usage_of(events)
    assert usage.completion_tokens == len("Größe, 日本 🌊".encode())
    assert usage.prompt_tokens > 0
    assert usage.cached_tokens == 0
    assert usage.accepted_tokens == usage.completion_tokens // 4


async def test_the_beginning_of_a_prompt_is_cached_the_second_time(generator: LocalGenerator) -> None:
    first, second = [usage_of(await events_of(generator, asking("say: " + "tide " * 20))) for _ in range(2)]
    assert (first.cached_tokens, first.prompt_tokens) == (0, second.prompt_tokens)
    assert second.prompt_tokens - 16 <= second.cached_tokens < second.prompt_tokens


async def test_an_answer_ends_at_its_most_tokens(generator: LocalGenerator) -> None:
    events = await events_of(generator, asking("say: twelve o'clock"), max_tokens=6)
    assert (text_of(events), reason_of(events)) == ("twelve", "length")
    assert usage_of(events).completion_tokens == 6


async def test_an_answer_ends_before_a_stop_string_and_its_worker_is_free(generator: LocalGenerator) -> None:
    prompt = asking("forever:")
    events = await events_of(generator, prompt, stop=("e ti", "never"))
    assert (text_of(events), reason_of(events)) == ("tid", "stop")
    assert usage_of(events).completion_tokens == len("tide ti")
    assert text_of(await events_of(generator, asking("say: on"))) == "on"


async def test_choices_differ_by_their_seeds_alone(generator: LocalGenerator) -> None:
    events = await events_of(generator, asking("show:"), n=3, sampling=Sampling(seed=7))
    asked = [json.loads(text_of(events, choice)) for choice in range(3)]
    assert [one["sampling"].pop("seed") for one in asked] == [7, 8, 9]
    assert asked[0] == asked[1] == asked[2]
    assert {reason_of(events, choice) for choice in range(3)} == {"stop"}
    assert usage_of(events).completion_tokens == sum(len(text_of(events, choice)) for choice in range(3))


async def test_what_is_not_asked_for_is_neutral(generator: LocalGenerator) -> None:
    asked = await shown(generator)
    assert asked["sampling"] == {
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
    assert (asked["grammar"], asked["logprobs"], asked["speculate"]) == (None, None, True)
    sampling = Sampling(temperature=0.0, top_k=5, frequency_penalty=-0.5, seed=3)
    asked = await shown(generator, sampling=sampling, max_tokens=500, logprobs=2)
    assert asked["sampling"]["top_k"] == 5
    assert asked["sampling"]["temperature"] == 0.0
    assert asked["max_tokens"] == 500


async def test_log_probabilities_stand_by_their_tokens(generator: LocalGenerator) -> None:
    events = await events_of(generator, asking("say: Größe END"), logprobs=2, stop=("END",))
    told = [one for event in events if isinstance(event, Delta) for one in event.logprobs]
    assert b"".join(one.bytes for one in told).decode() == text_of(events) == "Größe "
    assert told[0] == TokenLogprob(
        "G", b"G", -0.5, (TokenLogprob("G", b"G", -0.5), TokenLogprob("H", b"H", -1.5))
    )
    assert told[2].text == "\ufffd"


async def test_a_response_format_is_the_workers_grammar(generator: LocalGenerator) -> None:
    schema = {"type": "object"}
    asked = await shown(generator, response_format=ResponseFormat("json_schema", "x", schema))
    assert asked["grammar"] == {"kind": "json_schema", "value": json.dumps(schema)}
    with pytest.raises(InvalidGrammar, match="says no type"):
        await events_of(
            generator, asking("show:"), response_format=ResponseFormat("json_schema", "x", {"x": 1})
        )


class TestTools:
    TIDE = Tools((Tool("tide", "When"),))
    CALL = '<tool_call>\n{"name": "tide", "arguments": {"port": "Kiel"}}\n</tool_call>'

    async def test_a_call_is_told_as_one(self, generator: LocalGenerator) -> None:
        events = await events_of(generator, asking(f"say: One moment. {self.CALL}"), tools=self.TIDE)
        pieces = [piece for one in events if isinstance(one, Delta) for piece in one.tool_calls]
        assert pieces[0].name == "tide"
        assert str(pieces[0].id).startswith("call_")
        assert json.loads("".join(piece.arguments for piece in pieces)) == {"port": "Kiel"}
        assert len(pieces) > 3
        assert (text_of(events), reason_of(events)) == ("One moment. ", "tool_calls")

    async def test_without_tools_the_same_words_are_words(self, generator: LocalGenerator) -> None:
        for tools in (Tools(), Tools(self.TIDE.offered, ToolChoice("none"))):
            events = await events_of(generator, asking(f"say: {self.CALL}"), tools=tools)
            assert (text_of(events), reason_of(events)) == (self.CALL, "stop")

    async def test_the_template_is_told_of_them_unless_they_may_not_be_called(
        self, generator: LocalGenerator
    ) -> None:
        prompt = asking("prompt:")
        assert '"name": "tide"' in text_of(await events_of(generator, prompt, tools=self.TIDE))
        without = Tools(self.TIDE.offered, ToolChoice("none"))
        assert "tide" not in text_of(await events_of(generator, prompt, tools=without))

    async def test_a_call_that_must_be_made_has_a_grammar(self, generator: LocalGenerator) -> None:
        asked = await shown(generator, tools=Tools(self.TIDE.offered, ToolChoice("required")))
        assert asked["grammar"]["kind"] == "lark"
        assert '\\"name\\": \\"tide\\"' in asked["grammar"]["value"]

    async def test_a_second_call_is_not_heard_where_it_may_not_be_made(
        self, generator: LocalGenerator
    ) -> None:
        tools = Tools(self.TIDE.offered, parallel=False)
        events = await events_of(generator, asking(f"say: {self.CALL}\n{self.CALL}"), tools=tools)
        pieces = [piece for one in events if isinstance(one, Delta) for piece in one.tool_calls]
        assert {piece.index for piece in pieces} == {0}
        assert isinstance(pieces[0], ToolCallPiece)


class TestRefusals:
    async def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers(
        self, generator: LocalGenerator
    ) -> None:
        with pytest.raises(PromptTooLong, match=r"has 40\d\d\d? tokens .* context is 4096"):
            await events_of(generator, asking("tide " * 8100))
        with pytest.raises(PromptTooLong, match=r"at least \d+ tokens .* context is 4096"):
            await events_of(generator, asking("tide " * 1_000_000))

    async def test_a_prompt_and_an_answer_longer_than_the_context_are_refused_with_both_numbers(
        self, generator: LocalGenerator
    ) -> None:
        with pytest.raises(PromptTooLong, match=r"may have 4096, together 41\d\d; .* context is 4096"):
            await events_of(generator, asking("say: tide"), max_tokens=4096)

    async def test_a_bias_for_a_token_that_is_none_is_refused(self, generator: LocalGenerator) -> None:
        for unknown in (261, -1):
            with pytest.raises(InvalidInput, match=rf"token {unknown}; this model's are 0 to 260"):
                await events_of(generator, asking("x"), sampling=Sampling(logit_bias={unknown: 1.0}))

    async def test_turns_that_the_template_refuses_are_refused(self, generator: LocalGenerator) -> None:
        with pytest.raises(InvalidInput, match="unknown role robot"):
            await events_of(generator, Prompt((Turn("robot", "x"),)))

    @pytest.mark.parametrize("ids", [(), (261,), (-1,)])
    async def test_token_ids_that_are_none_of_the_models_are_refused(
        self, generator: LocalGenerator, ids: tuple[int, ...]
    ) -> None:
        with pytest.raises(InvalidInput, match="prompt"):
            await events_of(generator, Continuation(ids))


async def test_a_text_and_its_token_ids_are_continued_alike(generator: LocalGenerator) -> None:
    by_text = await events_of(generator, Continuation("say: tide"))
    by_ids = await events_of(generator, Continuation(tuple(b"say: tide")))
    assert text_of(by_text) == text_of(by_ids) == "tide"


async def test_passages_are_numbered_and_what_is_cited_is_quoted(generator: LocalGenerator) -> None:
    passages = ("Wind is air.", "The moon pulls the sea. Spring tides come at new moon.")
    events = await events_of(
        generator, asking("say: Spring tides come at new moon [2]. No [7].", passages=passages)
    )
    quotes = [quote for one in events if isinstance(one, Delta) for quote in one.quotes]
    assert [(quote.passage, passages[1][quote.start : quote.end]) for quote in quotes] == [
        (1, "Spring tides come at new moon.")
    ]


class TestLosses:
    async def test_a_worker_that_dies_ends_all_its_answers_at_once_and_is_replaced(self) -> None:
        async with open_fake_generator() as generator:
            forever = [
                asyncio.ensure_future(events_of(generator, asking(f"{order}:"), n=2, max_tokens=1000))
                for order in ("forever", "forever", "die")
            ]
            for lost in forever:
                with pytest.raises(WorkerDied, match="SIGKILL"):
                    await lost
            assert text_of(await events_of(generator, asking("say: again"))) == "again"

    async def test_a_worker_that_is_killed_while_nobody_asks_is_replaced(self) -> None:
        async with open_fake_generator() as generator:
            (pid,) = generator.worker_pids
            os.kill(pid, signal.SIGKILL)
            await until(lambda: generator.worker_pids not in ([pid], []))
            assert generator.status.state == "ready"

    async def test_a_worker_that_says_nothing_any_more_is_killed(self) -> None:
        limits = GenerationLimits(step_timeout_s=0.3)
        async with open_fake_generator(limits=limits) as generator:
            with pytest.raises(WorkerDied, match=r"silent for 0\.3 s and was killed"):
                await events_of(generator, asking("hang:"))
            assert text_of(await events_of(generator, asking("say: again"))) == "again"


async def test_whoever_leaves_frees_the_worker() -> None:
    registry = CollectorRegistry()
    metrics = GenerationMetrics(registry).of("fake-llm")
    async with open_fake_generator("--pages", "16", metrics=metrics) as generator:
        for _ in range(20):  # each needs all pages
            events = generator.generate(asking("forever:"), GenerationSettings(max_tokens=180))
            await anext(events)
            await anext(events)
            await events.aclose()
        assert text_of(await events_of(generator, asking("say: free"))) == "free"

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, {"model": "fake-llm", **labels})

    assert value("embedd_answers_total", finish_reason="cancelled") == 20
    assert value("embedd_answers_total", finish_reason="stop") == 1
    assert value("embedd_generation_running") == 0


async def test_what_waits_beyond_the_limit_is_refused_before_anything_is_begun() -> None:
    limits = GenerationLimits(max_waiting_tokens=100)
    async with open_fake_generator("--pages", "16", limits=limits) as generator:
        running = [
            asyncio.ensure_future(events_of(generator, asking("forever:"), max_tokens=180)) for _ in range(2)
        ]
        await until(lambda: generator.waiting)
        with pytest.raises(Overloaded, match=r"tokens are waiting .*, limit 100") as refusal:
            await events_of(generator, asking("say: me too"))
        assert refusal.value.retry_after_s > 0
        await asyncio.gather(*running)
        assert text_of(await events_of(generator, asking("say: me too"))) == "me too"


async def test_replicas_share_the_work_and_prompts_that_begin_alike() -> None:
    async with open_fake_generator(replicas=2) as generator:
        await until(lambda: len(generator.worker_pids) == 2)
        head = "tide " * 20
        for _ in range(3):
            usage = usage_of(await events_of(generator, asking(f"{head}\nsay: x")))
        assert usage.cached_tokens > 0
        forever = [
            asyncio.ensure_future(events_of(generator, asking(f"{number}\nforever:"), max_tokens=3000))
            for number in range(4)
        ]
        workers = generator._model.pool._keeper.usable
        await until(lambda: [worker.running for worker in workers] == [2, 2])
        for one in forever:
            one.cancel()


async def test_a_model_whose_files_cannot_be_used_says_so_to_those_who_ask(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x")
    async with open_local_generator(parse_spec(str(tmp_path), name="empty")) as generator:
        for _ in range(2):
            with pytest.raises(ModelLoadError, match=r"'empty' cannot be loaded: .*config.json is missing"):
                await events_of(generator, asking("x"))
        assert generator.status.state == "failed"
        assert "config.json is missing" in generator.status.reason


@pytest.mark.parametrize("tokenizer", ["{", "{}", "[]", '{"model": 7}'])
async def test_a_tokenizer_that_is_none_is_the_models_failure_and_nobody_elses(
    tmp_path: Path, tokenizer: str
) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x")
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (tmp_path / "tokenizer.json").write_text(tokenizer)
    async with open_local_generator(parse_spec(str(tmp_path), name="broken")) as generator:
        with pytest.raises(ModelLoadError, match="'broken' cannot be loaded"):
            await generator.wait_ready()
        assert generator.status.state == "failed"


async def test_whoever_asks_while_a_model_loads_waits_for_it_but_not_for_ever() -> None:
    spec = parse_spec("fake-llm")
    slow = ("--load-s", "0.5")
    async with open_local_generator(spec, worker_args=slow) as generator:
        assert generator.status.state == "loading"
        assert text_of(await events_of(generator, asking("say: there"))) == "there"
    limits = GenerationLimits(wait_s=0.05)
    async with open_local_generator(spec, limits, worker_args=slow) as generator:
        with pytest.raises(ModelUnavailable, match=r"still loading after 0\.05 s"):
            await events_of(generator, asking("say: there"))
