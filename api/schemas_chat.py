"""The bodies of chats and completions: OpenAI's, and what embedd adds to them.

https://platform.openai.com/docs/api-reference/chat; what OpenAI has not (`top_k`, `min_p`,
`repetition_penalty`, `chat_template_kwargs`) is vLLM's.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from api.schemas import Answer, Filter, Mode, OpenAIRequest, Request, Rerank, Viewer

MOST_CHOICES = 128
MOST_STOPS = 16
MOST_TOOLS = 128

Probability = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
ToolName = Annotated[str, Meta(pattern="^[a-zA-Z0-9_.-]{1,64}$")]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


# --- what is asked -------------------------------------------------------------------------------


class ContentPart(OpenAIRequest):
    type: str
    text: str | None = None


class CalledFunction(OpenAIRequest):
    name: str
    arguments: str = "{}"


class MadeToolCall(OpenAIRequest):
    id: str
    function: CalledFunction
    type: Literal["function"] = "function"


class ChatMessage(OpenAIRequest):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[MadeToolCall] | None = None
    tool_call_id: str | None = None


class Retrieval(Request):
    collection: str
    k: Annotated[int, Meta(ge=1, le=100)] = 5
    filter: Filter | None = None
    acl: Viewer | None = None
    mode: Mode = "hybrid"
    min_score: float | None = None
    rerank: Rerank | UnsetType | None = UNSET
    rewrite: Annotated[
        bool, Meta(description="Whether a question that goes on from earlier ones is searched for in full.")
    ] = True
    min_evidence: Probability | None = None
    max_quotes: Annotated[int, Meta(ge=1, le=20)] = 3
    max_tokens: Annotated[int, Meta(ge=64, le=1_000_000)] = 4_000


class StreamOptions(OpenAIRequest):
    include_usage: bool | None = None


class OfferedFunction(OpenAIRequest):
    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class OfferedTool(OpenAIRequest):
    type: Literal["function"]
    function: OfferedFunction


class NamedFunction(OpenAIRequest):
    name: str


class NamedTool(OpenAIRequest):
    type: Literal["function"]
    function: NamedFunction


class JsonSchemaFormat(OpenAIRequest):
    name: str
    schema: dict[str, Any]
    strict: bool | None = None


class ResponseFormatRequest(OpenAIRequest):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


class SamplingRequest(OpenAIRequest):
    """What chats and completions have in common; what is left out is the model's to choose."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=MOST_CHOICES)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Probability | None = None
    top_k: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    min_p: Probability | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=10)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: str | list[str] | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None


class ChatRequest(SamplingRequest, kw_only=True):
    """``conversation`` is one whose messages come before these, and which is added to."""

    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    conversation: str | None = None
    retrieval: Retrieval | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    response_format: ResponseFormatRequest | None = None
    tools: Annotated[list[OfferedTool], Meta(max_length=MOST_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class CompletionRequest(SamplingRequest, kw_only=True):
    prompt: str | list[str | int | list[int]]
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    echo: bool | None = None
    suffix: str | None = None
    best_of: int | None = None


# --- what is answered ----------------------------------------------------------------------------


class SourceAnswer(Answer):
    index: int
    document_id: str
    passage_id: str
    title: str
    quote: str
    start: int
    end: int
    page: int | UnsetType = UNSET


class PromptTokensDetails(Answer):
    cached_tokens: int


class CompletionTokensDetails(Answer):
    """Tokens that were guessed ahead, and were right, or in vain."""

    accepted_prediction_tokens: int
    rejected_prediction_tokens: int
    reasoning_tokens: int = 0


class ChatUsage(Answer):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails | UnsetType = UNSET
    completion_tokens_details: CompletionTokensDetails | UnsetType = UNSET


class BestToken(Answer):
    token: str
    bytes: list[int]
    logprob: float


class TokenLogprobAnswer(BestToken, kw_only=True):
    top_logprobs: list[BestToken]


class LogprobsAnswer(Answer):
    content: list[TokenLogprobAnswer]
    refusal: None = None


class FunctionAnswer(Answer):
    name: str
    arguments: str


class ToolCallAnswer(Answer):
    id: str
    function: FunctionAnswer
    type: Literal["function"] = "function"


class AssistantMessage(Answer):
    content: str | None
    role: Literal["assistant"] = "assistant"
    refusal: None = None
    tool_calls: list[ToolCallAnswer] | UnsetType = UNSET


class Choice(Answer):
    message: AssistantMessage
    index: int = 0
    logprobs: LogprobsAnswer | None = None
    finish_reason: FinishReason = "stop"


class ConversationUse(Answer):
    """The conversation that an answer belongs to; so many earlier messages did not fit and were left out."""

    id: str
    left_out: int


class GroundingAnswer(Answer):
    """``evidence``: how likely the documents answer the question, going by what was found."""

    abstained: bool
    evidence: float
    threshold: float


class ChatAnswer(Answer):
    """``rewritten_query`` is what was searched for, where that is not the question as it was asked."""

    id: str
    created: int
    model: str
    choices: list[Choice]
    usage: ChatUsage
    object: Literal["chat.completion"] = "chat.completion"
    sources: list[SourceAnswer] | UnsetType = UNSET
    conversation: ConversationUse | UnsetType = UNSET
    rewritten_query: str | UnsetType = UNSET
    grounding: GroundingAnswer | UnsetType = UNSET


class FunctionDelta(Answer):
    name: str | UnsetType = UNSET
    arguments: str | UnsetType = UNSET


class ToolCallDelta(Answer):
    index: int
    function: FunctionDelta
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET


class MessageDelta(Answer):
    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType = UNSET
    tool_calls: list[ToolCallDelta] | UnsetType = UNSET


class ChunkChoice(Answer):
    delta: MessageDelta
    index: int = 0
    logprobs: LogprobsAnswer | None = None
    finish_reason: FinishReason | None = None


class ChatChunk(Answer):
    id: str
    created: int
    model: str
    choices: list[ChunkChoice]
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    usage: ChatUsage | UnsetType | None = UNSET
    sources: list[SourceAnswer] | UnsetType = UNSET
    conversation: ConversationUse | UnsetType = UNSET
    rewritten_query: str | UnsetType = UNSET
    grounding: GroundingAnswer | UnsetType = UNSET


class CompletionLogprobs(Struct):
    """Side by side, one of each for every token; ``text_offset`` counts from the start of the text."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class CompletionChoice(Answer):
    text: str
    index: int = 0
    logprobs: CompletionLogprobs | None = None
    finish_reason: FinishReason | None = None


class CompletionAnswer(Answer):
    """A whole answer, or one event of a stream: both have the same shape."""

    id: str
    created: int
    model: str
    choices: list[CompletionChoice]
    object: Literal["text_completion"] = "text_completion"
    usage: ChatUsage | UnsetType | None = UNSET
