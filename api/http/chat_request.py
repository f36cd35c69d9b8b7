"""OpenAI's requests as questions: what schemas cannot check is checked here, and names its field."""

import re
from collections.abc import Iterable, Mapping, Sequence

from api.errors import InvalidRequest
from api.schemas_chat import (
    MOST_STOPS,
    ChatMessage,
    ChatRequest,
    CompletionRequest,
    NamedTool,
    OfferedTool,
    ResponseFormatRequest,
    SamplingRequest,
)
from embedd.conversation import Continuation, Tool, ToolCall, ToolChoice, Tools, Turn
from embedd.generators import GenerationSettings
from embedd.sampling import ResponseFormat, Sampling

_LONGEST_STOP = 1_000
_MOST_BIASES = 1_024
_TOKEN_ID = re.compile(r"[0-9]{1,10}")
_DEEPEST = 100
_MOST_PROMPTS = 128
_SMALLEST_TOP_P = 1e-6
_DEFAULT_COMPLETION_TOKENS = 16


def turns_of(messages: Sequence[ChatMessage], before: Sequence[Turn] = ()) -> tuple[Turn, ...]:
    """The turns that these messages are, which come behind those ``before``; ``developer`` is the new name of
    ``system``.

    Raises:
        InvalidRequest: a message has no text, or tool calls and their answers do not follow each other.
    """
    waiting = _open_calls(before)
    for number, message in enumerate(messages):
        param = f"messages[{number}]"
        if message.role == "tool":
            if message.tool_call_id not in waiting:
                raise InvalidRequest(
                    f"{param} of role 'tool' answers the call {message.tool_call_id!r}, which the message "
                    "before it did not make",
                    param=param,
                )
            waiting.discard(message.tool_call_id or "")
        elif waiting:
            raise InvalidRequest(_unanswered(param, waiting), param=param)
        if message.tool_calls:
            if message.role != "assistant":
                raise InvalidRequest(f"{param} has tool_calls and is not the assistant's", param=param)
            waiting = {call.id for call in message.tool_calls}
    if waiting:
        raise InvalidRequest(_unanswered("the end of messages", waiting), param="messages")
    return tuple(_turn(message, f"messages[{number}]") for number, message in enumerate(messages))


def chat_settings(request: ChatRequest) -> GenerationSettings:
    """How the answer should be.

    Raises:
        InvalidRequest: settings contradict each other, or there are too many.
    """
    if request.top_logprobs is not None and not request.logprobs:
        raise InvalidRequest("top_logprobs needs logprobs: true", param="top_logprobs")
    _check_nesting(request.chat_template_kwargs, "chat_template_kwargs")
    return GenerationSettings(
        sampling=_sampling(request),
        max_tokens=request.max_completion_tokens or request.max_tokens,
        stop=_stops(request.stop),
        n=request.n or 1,
        logprobs=(request.top_logprobs or 0) if request.logprobs else None,
        response_format=_format(request.response_format),
        tools=_tools(request),
    )


def completion_settings(request: CompletionRequest) -> GenerationSettings:
    """As ``chat_settings``; an answer has 16 tokens unless it is said otherwise, as with OpenAI.

    Raises:
        InvalidRequest: it asks for what is not done here.
    """
    if request.suffix:
        raise InvalidRequest("suffix is not supported: the model goes on at the end alone", param="suffix")
    if request.best_of not in (None, 1, request.n):
        raise InvalidRequest("best_of is not supported: ask for n choices and choose", param="best_of")
    if request.echo and request.logprobs is not None:
        raise InvalidRequest("echo cannot be had with logprobs: prompts have none here", param="echo")
    return GenerationSettings(
        sampling=_sampling(request),
        max_tokens=request.max_tokens or _DEFAULT_COMPLETION_TOKENS,
        stop=_stops(request.stop),
        n=request.n or 1,
        logprobs=request.logprobs,
    )


def prompts_of(request: CompletionRequest) -> list[Continuation]:
    """The texts, or lists of token ids, to go on with.

    Raises:
        InvalidRequest: there are none, too many, of both kinds, or ids whose text should be echoed.
    """
    given = request.prompt
    prompts = _prompts(given)
    if not 1 <= len(prompts) * (request.n or 1) <= _MOST_PROMPTS:
        raise InvalidRequest(
            f"prompt asks for {len(prompts) * (request.n or 1)} answers: 1 to {_MOST_PROMPTS} are possible",
            param="prompt",
        )
    if request.echo and not all(isinstance(prompt.text, str) for prompt in prompts):
        raise InvalidRequest("echo needs prompts that are text", param="echo")
    return prompts


def _prompts(given: str | list[str | int | list[int]]) -> list[Continuation]:
    if isinstance(given, str):
        return [Continuation(given)]
    ids = [one for one in given if isinstance(one, int)]
    if ids and len(ids) == len(given):
        return [Continuation(tuple(ids))]
    texts = [Continuation(one) for one in given if isinstance(one, str)]
    lists = [Continuation(tuple(one)) for one in given if isinstance(one, list)]
    if len(given) not in (len(texts), len(lists)):
        raise InvalidRequest("prompt must be texts, or token ids, and not both", param="prompt")
    return texts or lists


def _turn(message: ChatMessage, param: str) -> Turn:
    return Turn(
        role="system" if message.role == "developer" else message.role,
        content=_text(message, param),
        tool_calls=tuple(
            ToolCall(call.id, call.function.name, call.function.arguments)
            for call in message.tool_calls or ()
        ),
        tool_call_id=message.tool_call_id,
        name=message.name,
    )


def _text(message: ChatMessage, param: str) -> str:
    if message.content is None:
        if message.role != "assistant":
            raise InvalidRequest(f"{param} of role {message.role!r} has no content", param=param)
        return ""
    if isinstance(message.content, str):
        return message.content
    others = {part.type for part in message.content} - {"text"}
    if others:
        raise InvalidRequest(
            f"messages may hold text only, not {', '.join(sorted(others))}", param="messages"
        )
    return "\n".join(part.text or "" for part in message.content)


def _open_calls(turns: Sequence[Turn]) -> set[str]:
    """The calls at the end of ``turns`` that have no answer yet."""
    waiting: set[str] = set()
    for turn in turns:
        waiting = {call.id for call in turn.tool_calls} if turn.tool_calls else waiting
        waiting.discard(turn.tool_call_id or "")
    return waiting


def _unanswered(where: str, ids: set[str]) -> str:
    return f"the tool calls {', '.join(sorted(ids))} have no message of role 'tool' before {where}"


def _sampling(request: SamplingRequest) -> Sampling:
    return Sampling(
        temperature=request.temperature,
        top_p=None if request.top_p is None else max(request.top_p, _SMALLEST_TOP_P),
        top_k=None if request.top_k is None else max(request.top_k, 0),
        min_p=request.min_p,
        repetition_penalty=request.repetition_penalty,
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
        seed=None if request.seed is None else request.seed % 2**63,
        logit_bias=None if request.logit_bias is None else _biases(request.logit_bias),
    )


def _biases(given: Mapping[str, float]) -> dict[int, float]:
    if len(given) > _MOST_BIASES:
        raise InvalidRequest(f"logit_bias has {len(given)} tokens, limit {_MOST_BIASES}", param="logit_bias")
    wrong = next((token for token in given if not _TOKEN_ID.fullmatch(token)), None)
    if wrong is not None:
        raise InvalidRequest(f"logit_bias has {wrong[:50]!r}, which is no token id", param="logit_bias")
    return {int(token): bias for token, bias in given.items()}


def _check_nesting(value: object, param: str) -> None:
    """Refuse what other code would climb into too deep, without climbing itself."""
    level, depth = [value], 0
    while level:
        if depth > _DEEPEST:
            raise InvalidRequest(f"{param} has more than {_DEEPEST} levels", param=param)
        level, depth = [inner for one in level for inner in _inner(one)], depth + 1


def _inner(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _stops(given: str | list[str] | None) -> tuple[str, ...]:
    stops = [given] if isinstance(given, str) else given or []
    if len(stops) > MOST_STOPS:
        raise InvalidRequest(f"stop has {len(stops)} strings, limit {MOST_STOPS}", param="stop")
    if not all(1 <= len(stop) <= _LONGEST_STOP for stop in stops):
        raise InvalidRequest(f"stop has a string that is empty or longer than {_LONGEST_STOP}", param="stop")
    return tuple(stops)


def _format(given: ResponseFormatRequest | None) -> ResponseFormat | None:
    if given is None or given.type == "text":
        return None
    if given.type == "json_object":
        return ResponseFormat("json_object")
    wanted = given.json_schema
    if wanted is None:
        raise InvalidRequest("response_format of type json_schema needs json_schema", param="response_format")
    _check_nesting(wanted.schema, "response_format")
    return ResponseFormat("json_schema", wanted.name, wanted.schema, bool(wanted.strict))


def _tools(request: ChatRequest) -> Tools:
    offered = tuple(_tool(tool) for tool in request.tools or ())
    names = [tool.name for tool in offered]
    if len(set(names)) != len(names):
        raise InvalidRequest("tools have a name twice", param="tools")
    choice = request.tool_choice
    if isinstance(choice, NamedTool):
        if choice.function.name not in names:
            raise InvalidRequest(
                f"tool_choice names {choice.function.name!r}, not in tools", param="tool_choice"
            )
        chosen = ToolChoice("required", choice.function.name)
    else:
        if choice == "required" and not offered:
            raise InvalidRequest("tool_choice is required and there are no tools", param="tool_choice")
        chosen = ToolChoice(choice or "auto")
    return Tools(offered, chosen, request.parallel_tool_calls is not False)


def _tool(given: OfferedTool) -> Tool:
    function = given.function
    _check_nesting(function.parameters, "tools")
    return Tool(function.name, function.description or "", function.parameters, bool(function.strict))
