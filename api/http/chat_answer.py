"""Answers in OpenAI's shapes: pieces put together, or one by one as events of a stream."""

import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from msgspec import UNSET, UnsetType

from api.schemas_chat import (
    AssistantMessage,
    BestToken,
    ChatUsage,
    Choice,
    ChunkChoice,
    CompletionChoice,
    CompletionLogprobs,
    CompletionTokensDetails,
    FunctionAnswer,
    FunctionDelta,
    GroundingAnswer,
    LogprobsAnswer,
    MessageDelta,
    PromptTokensDetails,
    SourceAnswer,
    TokenLogprobAnswer,
    ToolCallAnswer,
    ToolCallDelta,
)
from api.services.answer import Grounding, Source
from embedd.generators import Delta, FinishReason, TokenLogprob, ToolCallPiece, Usage, joined_call


@dataclass(frozen=True, slots=True)
class Heading:
    """What every chunk and answer of one completion repeats."""

    model: str
    id: str
    created: int

    @classmethod
    def new(cls, model: str, prefix: str = "chatcmpl") -> "Heading":
        return cls(model, f"{prefix}-{uuid.uuid4().hex}", int(time.time()))


@dataclass(slots=True)
class WholeChoice:
    """One choice, put together from its deltas."""

    index: int
    texts: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    calls: dict[int, list[ToolCallPiece]] = field(default_factory=dict)
    finish_reason: FinishReason = "stop"

    def add(self, delta: Delta) -> None:
        self.texts.append(delta.text)
        self.logprobs += delta.logprobs
        for piece in delta.tool_calls:
            self.calls.setdefault(piece.index, []).append(piece)
        self.finish_reason = delta.finish_reason or self.finish_reason

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def chat(self, *, logprobs: bool) -> Choice:
        """Its message; without words it has no content if it has calls."""
        calls = [_call(pieces) for _, pieces in sorted(self.calls.items())]
        return Choice(
            message=AssistantMessage(
                content=self.text if self.text or not calls else None, tool_calls=calls or UNSET
            ),
            index=self.index,
            logprobs=describe_logprobs(self.logprobs) if logprobs else None,
            finish_reason=self.finish_reason,
        )


def chunk_choice(delta: Delta, *, logprobs: bool) -> ChunkChoice:
    """A piece of one choice, as a stream has it."""
    return ChunkChoice(
        delta=MessageDelta(
            content=delta.text or UNSET,
            tool_calls=[_call_delta(piece) for piece in delta.tool_calls] or UNSET,
        ),
        index=delta.choice,
        logprobs=describe_logprobs(delta.logprobs) if logprobs and delta.logprobs else None,
        finish_reason=delta.finish_reason,
    )


def completion_choice(
    index: int,
    text: str,
    logprobs: Sequence[TokenLogprob] | None,
    reason: FinishReason | None,
    *,
    offset: int = 0,
) -> CompletionChoice:
    """A completion's choice, or a piece of it that begins at ``offset``; ``logprobs`` None for none."""
    told = None if logprobs is None else _side_by_side(logprobs, offset)
    return CompletionChoice(text=text, index=index, logprobs=told, finish_reason=reason)


def describe_logprobs(told: Iterable[TokenLogprob]) -> LogprobsAnswer:
    return LogprobsAnswer(
        content=[
            TokenLogprobAnswer(
                token=one.text,
                bytes=list(one.bytes),
                logprob=one.logprob,
                top_logprobs=[BestToken(best.text, list(best.bytes), best.logprob) for best in one.best],
            )
            for one in told
        ]
    )


def total_tokens(usage: Usage) -> int:
    return usage.prompt_tokens + usage.completion_tokens


def describe_usage(usage: Usage) -> ChatUsage:
    return ChatUsage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=total_tokens(usage),
        prompt_tokens_details=PromptTokensDetails(usage.cached_tokens),
        completion_tokens_details=CompletionTokensDetails(usage.accepted_tokens, usage.rejected_tokens),
    )


def describe_sources(sources: Sequence[Source]) -> list[SourceAnswer]:
    return [
        SourceAnswer(
            index=source.index,
            document_id=source.document_id,
            passage_id=source.passage_id,
            title=source.title,
            quote=source.quote,
            start=source.start,
            end=source.end,
            page=source.page if source.page is not None else UNSET,
        )
        for source in sources
    ]


def describe_grounding(grounding: Grounding | None) -> GroundingAnswer | UnsetType:
    if grounding is None:
        return UNSET
    return GroundingAnswer(
        abstained=grounding.abstained,
        evidence=round(grounding.evidence, 4),
        threshold=grounding.threshold,
    )


def _call(pieces: Sequence[ToolCallPiece]) -> ToolCallAnswer:
    call = joined_call(pieces)
    return ToolCallAnswer(call.id, FunctionAnswer(call.name, call.arguments))


def _call_delta(piece: ToolCallPiece) -> ToolCallDelta:
    if piece.name is None:
        return ToolCallDelta(piece.index, FunctionDelta(arguments=piece.arguments))
    return ToolCallDelta(
        index=piece.index,
        function=FunctionDelta(name=piece.name, arguments=piece.arguments),
        id=UNSET if piece.id is None else piece.id,
        type="function",
    )


def _side_by_side(told: Sequence[TokenLogprob], offset: int) -> CompletionLogprobs:
    offsets = []
    for one in told:
        offsets.append(offset)
        offset += len(one.text)
    best = [{other.text: other.logprob for other in one.best} for one in told]
    return CompletionLogprobs(
        tokens=[one.text for one in told],
        token_logprobs=[one.logprob for one in told],
        top_logprobs=best if any(best) else None,
        text_offset=offsets,
    )
