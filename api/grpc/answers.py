"""What generators answer, and models, as messages."""

from collections.abc import Iterable

from api.grpc.v1 import inferencer_pb2 as pb
from api.http.chat_question import Asked
from api.services.answer import Finished, Source
from api.services.model_records import ModelRecord
from embedd.generators import FinishReason, TokenLogprob, Usage
from embedd.specs import ModelCard


def describe_model(record: ModelRecord) -> pb.Model:
    """A model; one that is not open has nothing that its files would tell."""
    model = pb.Model(name=record.name, kind=record.kind, state=record.status, reason=record.reason)
    model.coming = record.coming or ""
    state = record.state
    if state is None:
        return model
    if state.card is not None:
        model.revision, model.sha256 = state.card.revision or "", state.card.sha256 or ""
    if isinstance(state.card, ModelCard):
        model.dim, model.max_tokens = state.card.dim, state.card.max_tokens
    model.context = state.context or 0
    return model


def describe_usage(usage: Usage) -> pb.Usage:
    return pb.Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
    )


def describe_logprobs(told: Iterable[TokenLogprob]) -> list[pb.TokenLogprob]:
    return [pb.TokenLogprob(text=one.text, bytes=one.bytes, logprob=one.logprob) for one in told]


def reason_of(reason: FinishReason) -> pb.FinishReason:
    number: pb.FinishReason = pb.FinishReason.Value(f"FINISH_REASON_{reason.upper()}")
    return number


def describe_opening(asked: Asked, candidates: Iterable[Source]) -> pb.ChatOpening:
    """What is known before anything is said."""
    exchange = asked.exchange
    return pb.ChatOpening(
        model=asked.heading.model,
        candidates=map(_source, candidates),
        conversation="" if exchange is None else exchange.conversation.id,
        left_out=0 if exchange is None else exchange.left_out,
        rewritten_query=asked.rewritten or "",
    )


def describe_finish(end: Finished, reason: FinishReason) -> pb.ChatFinish:
    """What is known when everything is said."""
    finish = pb.ChatFinish(
        finish_reason=reason_of(reason), usage=describe_usage(end.usage), sources=map(_source, end.cited)
    )
    if end.grounding is not None:
        grounding = end.grounding
        finish.grounding.CopyFrom(
            pb.Grounding(
                abstained=grounding.abstained,
                evidence=round(grounding.evidence, 4),
                threshold=grounding.threshold,
            )
        )
    return finish


def _source(source: Source) -> pb.Source:
    return pb.Source(
        index=source.index,
        document_id=source.document_id,
        passage_id=source.passage_id,
        title=source.title,
        quote=source.quote,
        start=source.start,
        end=source.end,
        page=source.page,
    )
