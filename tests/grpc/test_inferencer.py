"""embedd.v1.Inferencer with the generated stubs. What chat-rs, which it follows, did wrong is not possible
here: the tests name its defects.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from asking import Ask
from fake_models import until
from google.rpc.error_details_pb2 import BadRequest
from grpc import StatusCode
from grpc_calls import Caller, refused

from api.grpc.v1.embedder_pb2 import RerankRequest
from api.grpc.v1.inferencer_pb2 import (
    AddModelsRequest,
    ChatRequest,
    ChatResponse,
    ExchangeModelRequest,
    FinishReason,
    GenerateRequest,
    GenerateStreamingRequest,
    ListModelsRequest,
    Message,
    NewModel,
    Retrieval,
    Role,
    RunBatchedInferenceRequest,
    RunBatchedInferenceResponse,
    SamplingOptions,
)
from api.services.container import Services
from api.services.model_rows import ModelRow


def said(*turns: tuple[str, str]) -> list[Message]:
    return [Message(role=Role.Value(f"ROLE_{role.upper()}"), content=text) for role, text in turns]


def asking(text: str, **options: Any) -> GenerateRequest:
    return GenerateRequest(messages=said(("user", text)), options=SamplingOptions(**options))


async def test_models_are_listed_with_what_they_are(caller: Caller) -> None:
    models = (await caller.inferencer.ListModels(ListModelsRequest())).models
    assert [(one.name, one.kind, one.state) for one in models] == [
        ("fake", "embedding", "ready"),
        ("fake-llm", "generator", "ready"),
        ("extractive", "generator", "ready"),
        ("repeats", "generator", "ready"),
    ]
    assert (models[0].dim, models[1].context) == (64, 4096)


async def test_models_that_were_added_are_listed_as_http_lists_them(
    caller: Caller, services: Services
) -> None:
    await services.registry.add(ModelRow("spare", "embedding", "fake", enabled=False))
    try:
        *_, added = (await caller.inferencer.ListModels(ListModelsRequest())).models
        assert (added.name, added.kind, added.state) == ("spare", "embedding", "registered")
    finally:
        await services.registry.remove("spare")


async def test_a_model_that_is_added_answers_once_it_is_loaded(caller: Caller, services: Services) -> None:
    wanted = AddModelsRequest(models=[NewModel(source="fake-reranker", name="team/ranks", kind="reranking")])
    (added,) = (await caller.inferencer.AddModels(wanted)).models
    assert (added.name, added.model.name, added.model.kind) == ("team/ranks", "team/ranks", "reranking")
    assert added.model.state in ("loading", "ready")
    try:
        await until(lambda: services.registry.get("team/ranks").status == "ready")
        ranked = await caller.embedder.Rerank(
            RerankRequest(query="tide", documents=["moon"], model="team/ranks")
        )
        assert len(ranked.results) == 1
        (again,) = (await caller.inferencer.AddModels(wanted)).models
        assert again.model.state == "ready"
        other = AddModelsRequest(models=[NewModel(source="fake", name="team/ranks")])
        (refusal,) = (await caller.inferencer.AddModels(other)).models
        assert (refusal.error.reason, refusal.error.field) == ("MODEL_EXISTS", "kind")
    finally:
        await services.registry.remove("team/ranks")


async def test_a_model_answers_with_other_weights_by_name(caller: Caller, services: Services) -> None:
    await services.registry.add(ModelRow("trial", "embedding", "fake-reranker"))
    try:
        await until(lambda: services.registry.get("trial").status == "failed")
        wanted = ExchangeModelRequest(name="trial", source="fake")
        begun = (await caller.inferencer.ExchangeModel(wanted)).model
        assert (begun.name, begun.state) == ("trial", "loading")
        await until(lambda: services.registry.get("trial").status == "ready")
        begun = (await caller.inferencer.ExchangeModel(ExchangeModelRequest(name="trial"))).model
        assert (begun.state, begun.coming) == ("ready", "loading")
        refusal = await refused(caller.inferencer.ExchangeModel(ExchangeModelRequest(name="nobody")))
        assert refusal.code is StatusCode.NOT_FOUND
    finally:
        await services.registry.remove("trial")


async def test_one_model_that_cannot_be_added_loses_no_other(caller: Caller, services: Services) -> None:
    wanted = [
        NewModel(source="no such model", name="bad"),
        NewModel(source="fake", enabled=False, name="off"),
    ]
    try:
        bad, off = (await caller.inferencer.AddModels(AddModelsRequest(models=wanted))).models
        assert (bad.name, bad.error.code, bad.error.field) == (
            "bad",
            StatusCode.INVALID_ARGUMENT.value[0],
            "source",
        )
        assert (off.model.state, off.HasField("error")) == ("registered", False)
    finally:
        await services.registry.remove("off")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ([NewModel()], "models[0]"),
        ([NewModel(source="fake", kind="oracle")], "models[0].kind"),
        ([NewModel(source="fake", sha256="short")], "models[0].sha256"),
    ],
)
async def test_what_is_no_model_is_refused_by_its_field(
    caller: Caller, wrong: list[NewModel], field: str
) -> None:
    refusal = await refused(caller.inferencer.AddModels(AddModelsRequest(models=wrong)))
    assert refusal.code is StatusCode.INVALID_ARGUMENT
    assert refusal.details[BadRequest].field_violations[0].field.startswith(field)


async def test_an_answer_is_whole_and_has_no_prompt_in_it_and_says_what_it_took(caller: Caller) -> None:
    """In chat-rs: the prompt echoed, the tail dropped behind punctuation, no end but max_tokens."""
    answer = await caller.inferencer.Generate(asking("say: High tide is at six, isn't it?!"))
    assert answer.text == "High tide is at six, isn't it?!"
    assert answer.finish_reason == FinishReason.FINISH_REASON_STOP
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.completion_tokens >= len(answer.text)
    assert answer.created.seconds > 0
    assert not answer.logprobs


async def test_the_history_reaches_the_model_in_its_own_template(caller: Caller) -> None:
    """In chat-rs: no chat template, and history that is kept and never read."""
    turns = said(("system", "Be brief."), ("user", "When?"), ("assistant", "At six."), ("user", "prompt:"))
    answer = await caller.inferencer.Generate(GenerateRequest(messages=turns))
    assert "<!im_start|>system\nBe brief.<!im_end|>" in answer.text
    assert "<!im_start|>user\nWhen?<!im_end|>\n<!im_start|>assistant\nAt six.<!im_end|>" in answer.text


async def test_the_model_that_is_named_answers(caller: Caller) -> None:
    """In chat-rs: the model's id ignored."""
    request = asking("hello there")
    request.model = "repeats"
    answer = await caller.inferencer.Generate(request)
    assert (answer.model, answer.text) == ("repeats", "fake: hello there")
    request.model = "none-such"
    refusal = await refused(caller.inferencer.Generate(request))
    assert (refusal.code, refusal.reason) == (StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")


async def test_sampling_reaches_the_model(caller: Caller) -> None:
    """Every option is used, top_k and the seed among them."""
    options = {"top_k": 7, "top_p": 0.5, "temperature": 0.25, "seed": 11, "repetition_penalty": 1.5}
    shown = json.loads((await caller.inferencer.Generate(asking("show:", **options))).text)
    assert {name: shown["sampling"][name] for name in options} == options


async def test_an_answer_ends_at_its_limit_and_at_stop_strings(caller: Caller) -> None:
    limited = await caller.inferencer.Generate(asking("forever:", max_tokens=5))
    assert limited.finish_reason == FinishReason.FINISH_REASON_LENGTH
    assert limited.usage.completion_tokens == 5
    stopped = await caller.inferencer.Generate(asking("say: one, two, three", stop=["two"]))
    assert stopped.text == "one, "


async def test_logprobs_are_told_token_by_token(caller: Caller) -> None:
    answer = await caller.inferencer.Generate(asking("say: ab", logprobs=True))
    assert b"".join(one.bytes for one in answer.logprobs).startswith(b"ab")


async def test_a_text_is_gone_on_with_without_a_template(caller: Caller) -> None:
    answer = await caller.inferencer.Generate(
        GenerateRequest(prompt="prompt:", options=SamplingOptions(max_tokens=50))
    )
    assert answer.text == "prompt:"
    for wrong in (GenerateRequest(), GenerateRequest(prompt="x", messages=said(("user", "x")))):
        assert (await refused(caller.inferencer.Generate(wrong))).code is StatusCode.INVALID_ARGUMENT


async def test_a_stream_has_the_same_answer_in_pieces(caller: Caller) -> None:
    request = asking("say: Ebb, flow & ebb — every day…")
    whole = await caller.inferencer.Generate(request)
    pieces = [
        one async for one in caller.inferencer.GenerateStreaming(GenerateStreamingRequest(request=request))
    ]
    assert len(pieces) > 3
    assert "".join(one.text for one in pieces) == whole.text == "Ebb, flow & ebb — every day…"
    assert pieces[-1].finish_reason == whole.finish_reason
    assert pieces[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert not any(one.finish_reason for one in pieces[:-1])


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_client_that_leaves_frees_its_slot_and_ends_no_worker(
    caller: Caller, services: Services, streamed: bool
) -> None:
    """In chat-rs: a worker that dies of a client that left; requests that nobody waits for any more."""
    generator: Any = services.models.generator("fake-llm")
    workers = list(generator.worker_pids)
    request = asking("forever:", max_tokens=4000)
    if streamed:
        call = caller.inferencer.GenerateStreaming(GenerateStreamingRequest(request=request))
        assert (await call.read()).text
    else:
        call = caller.inferencer.Generate(request)
        await until(lambda: generator.running)
    call.cancel()
    await until(lambda: not generator.running)
    assert (await caller.inferencer.Generate(asking("say: still here"))).text == "still here"
    assert list(generator.worker_pids) == workers


async def test_a_deadline_frees_the_slot(caller: Caller, services: Services) -> None:
    generator: Any = services.models.generator("fake-llm")
    refusal = await refused(caller.inferencer.Generate(asking("forever:", max_tokens=4000), timeout=0.2))
    assert refusal.code is StatusCode.DEADLINE_EXCEEDED
    await until(lambda: not generator.running)


async def test_answers_to_many_clients_do_not_mix(caller: Caller) -> None:
    """In chat-rs: what one answer leaves in the detokenizer is in the next."""
    texts = [f"тест {number} – ½ naïve" for number in range(12)]
    answers = await asyncio.gather(*(caller.inferencer.Generate(asking(f"say: {text}")) for text in texts))
    assert [one.text for one in answers] == texts


async def batch(requests: Iterable[GenerateRequest]) -> AsyncIterator[RunBatchedInferenceRequest]:
    for number, request in enumerate(requests):
        yield RunBatchedInferenceRequest(id=f"r{number}", request=request)


async def test_many_requests_over_one_stream_are_each_answered_by_their_id(caller: Caller) -> None:
    """In chat-rs: one bad item of a batch loses the batch."""
    requests = [asking(f"say: answer {number}") for number in range(10)]
    requests[3] = asking("")
    stream = caller.inferencer.RunBatchedInference(batch(requests))
    answers: dict[str, RunBatchedInferenceResponse] = {one.id: one async for one in stream}
    assert len(answers) == 10
    assert answers["r3"].error.code == StatusCode.INVALID_ARGUMENT.value[0]
    del answers["r3"]
    assert all(one.response.text == f"answer {id[1:]}" for id, one in answers.items())


async def events(caller: Caller, request: ChatRequest) -> list[ChatResponse]:
    return [event async for event in caller.inferencer.Chat(request)]


def text_of(told: list[ChatResponse]) -> str:
    return "".join(event.delta.text for event in told if event.HasField("delta"))


async def test_a_chat_cites_its_sources(caller: Caller, docs: str) -> None:
    request = ChatRequest(
        model="extractive",
        messages=said(("user", "When do spring tides come?")),
        retrieval=Retrieval(collection=docs),
    )
    opening, *deltas, end = await events(caller, request)
    assert opening.opening.model == "extractive"
    assert opening.opening.candidates
    assert all(event.HasField("delta") for event in deltas)
    assert end.HasField("finish")
    assert end.finish.HasField("grounding")
    for source in end.finish.sources:
        assert f"[{source.index}]" in text_of(deltas)


async def test_a_conversation_is_read_and_kept(caller: Caller, ask: Ask) -> None:
    """Sessions whose turns have the right roles, and are fed to the model."""
    kept = await ask("POST", "/v1/conversations", {}, status=201)
    first = await events(
        caller, ChatRequest(conversation=kept["id"], messages=said(("user", "say: At six.")))
    )
    assert (first[0].opening.conversation, text_of(first)) == (kept["id"], "At six.")
    second = await events(caller, ChatRequest(conversation=kept["id"], messages=said(("user", "prompt:"))))
    assert "<!im_start|>assistant\nAt six.<!im_end|>" in text_of(second)
    messages = (await ask("GET", f"/v1/conversations/{kept['id']}/messages"))["messages"]
    assert [one["role"] for one in messages] == ["user", "assistant"] * 2
    call = caller.inferencer.Chat(ChatRequest(conversation="gone", messages=said(("user", "x"))))
    assert (await refused(call.read())).code is StatusCode.NOT_FOUND
