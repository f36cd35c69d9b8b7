"""What is sent to an upstream and what it says, as far as both are read here: OpenAI's JSON."""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from embedd.conversation import Continuation, Prompt, Tool, Tools, Turn
from embedd.generators import Delta, FinishReason, GenerationSettings, TokenLogprob, ToolCallPiece, Usage
from embedd.grounding import lay_out
from embedd.sampling import ResponseFormat

_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
}


class UpstreamProblem(Struct):
    message: str = ""
    code: str | int | None = None


class _Function(Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct):
    index: int = 0
    id: str | None = None
    function: _Function | None = None


class _Message(Struct):
    content: str | None = None
    tool_calls: list[_Call] | None = None


class _Token(Struct):
    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: list["_Token"] = []


class _Logprobs(Struct):
    """Of a chat, under ``content``; of a completion, as lists side by side."""

    content: list[_Token] | None = None
    tokens: list[str] = []
    token_logprobs: list[float | None] = []
    top_logprobs: list[dict[str, float] | None] | None = None


class _Choice(Struct):
    index: int = 0
    delta: _Message | None = None
    text: str | None = None
    logprobs: _Logprobs | None = None
    finish_reason: str | None = None


class _Details(Struct):
    cached_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None


class _Usage(Struct):
    prompt_tokens: int
    completion_tokens: int = 0
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class Chunk(Struct):
    """One event of a stream."""

    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: UpstreamProblem | str | None = None

    def deltas(self) -> Iterator[Delta]:
        """What it says, choice by choice."""
        for choice in self.choices:
            message = choice.delta or _Message()
            yield Delta(
                text=message.content or choice.text or "",
                choice=choice.index,
                logprobs=tuple(_logprobs(choice.logprobs)) if choice.logprobs else (),
                tool_calls=tuple(_piece(call) for call in message.tool_calls or ()),
                finish_reason=_REASONS.get(choice.finish_reason, "stop") if choice.finish_reason else None,
            )

    def taken(self) -> Usage | None:
        """What it counted, if it tells."""
        if self.usage is None:
            return None
        read = self.usage.prompt_tokens_details or _Details()
        written = self.usage.completion_tokens_details or _Details()
        return Usage(
            prompt_tokens=self.usage.prompt_tokens,
            completion_tokens=self.usage.completion_tokens,
            cached_tokens=read.cached_tokens or 0,
            accepted_tokens=written.accepted_prediction_tokens or 0,
            rejected_tokens=written.rejected_prediction_tokens or 0,
        )


def request_body(
    model: str, prompt: Prompt | Continuation, settings: GenerationSettings
) -> dict[str, object]:
    """The JSON to send; what was not asked for is left out, so that the upstream's own defaults hold."""
    body: dict[str, Any] = {"model": model, "stream": True, "stream_options": {"include_usage": True}}
    if isinstance(prompt, Continuation):
        body["prompt"] = prompt.text if isinstance(prompt.text, str) else list(prompt.text)
        body |= {} if settings.logprobs is None else {"logprobs": settings.logprobs}
    else:
        body["messages"] = [_message(turn) for turn in lay_out(prompt)]
        body |= {} if settings.logprobs is None else {"logprobs": True, "top_logprobs": settings.logprobs}
        body |= _tools(settings.tools)
        body |= {"chat_template_kwargs": prompt.template_options} if prompt.template_options else {}
    body |= settings.sampling.given
    if settings.max_tokens is not None:
        body["max_tokens"] = settings.max_tokens
    if settings.stop:
        body["stop"] = list(settings.stop)
    if settings.n > 1:
        body["n"] = settings.n
    if settings.response_format is not None:
        body["response_format"] = _format(settings.response_format)
    return body


def _message(turn: Turn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": turn.content}
    if turn.tool_calls:
        message["content"] = turn.content or None
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in turn.tool_calls
        ]
    if turn.tool_call_id is not None:
        message["tool_call_id"] = turn.tool_call_id
    if turn.name is not None:
        message["name"] = turn.name
    return message


def _tools(tools: Tools) -> dict[str, Any]:
    if not tools.offered:
        return {}
    choice: Any = tools.choice.mode
    if tools.choice.name is not None:
        choice = {"type": "function", "function": {"name": tools.choice.name}}
    body = {"tools": [_function(tool) for tool in tools.offered], "tool_choice": choice}
    return body if tools.parallel else {**body, "parallel_tool_calls": False}


def _function(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "description": tool.description}
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    return {"type": "function", "function": function | ({"strict": True} if tool.strict else {})}


def _format(wanted: ResponseFormat) -> dict[str, Any]:
    if wanted.kind == "json_object":
        return {"type": "json_object"}
    schema = {"name": wanted.name, "schema": wanted.schema, "strict": wanted.strict}
    return {"type": "json_schema", "json_schema": schema}


def _piece(call: _Call) -> ToolCallPiece:
    function = call.function or _Function()
    return ToolCallPiece(call.index, call.id, function.name, function.arguments or "")


def _logprobs(told: _Logprobs) -> Iterator[TokenLogprob]:
    if told.content is not None:
        yield from map(_token, told.content)
        return
    for place, token in enumerate(told.tokens):
        best = (told.top_logprobs or [])[place : place + 1]
        others = tuple(
            TokenLogprob(text, text.encode(), value) for one in best for text, value in (one or {}).items()
        )
        yield TokenLogprob(token, token.encode(), told.token_logprobs[place] or 0.0, others)


def _token(token: _Token) -> TokenLogprob:
    written = bytes(token.bytes) if token.bytes is not None else token.token.encode()
    return TokenLogprob(token.token, written, token.logprob, tuple(map(_token, token.top_logprobs)))
