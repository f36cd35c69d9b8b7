"""What a generator is asked: a conversation, the tools it may call, the passages it should answer from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from embedd.errors import InvalidInput
from embedd.extractive import Quote


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the assistant made; ``arguments`` is JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation.

    ``role`` is system, user, assistant or tool; a tool's turn answers the call ``tool_call_id``.
    """

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked: the conversation, oldest turn first, and the passages to answer from, best first.

    ``quotes`` are the sentences of the passages that answer the question, best first: none if none does.
    ``template_options`` are further values for a model's chat template, such as ``enable_thinking``.
    """

    turns: tuple[Turn, ...]
    passages: tuple[str, ...] | None = None
    template_options: Mapping[str, Any] = field(default_factory=dict)
    quotes: tuple[Quote, ...] = ()

    @property
    def question(self) -> str:
        """The last thing the user said.

        Raises:
            InvalidInput: no turn of the user has any text.
        """
        for turn in reversed(self.turns):
            if turn.role == "user" and turn.content.strip():
                return turn.content.strip()
        raise InvalidInput("the conversation has no question: add a message of role 'user' with text")


@dataclass(frozen=True, slots=True)
class Continuation:
    """What is asked without a conversation: to go on with a text, or with token ids of the model's own."""

    text: str | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; ``parameters`` is the JSON schema of its arguments."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] | None = None
    strict: bool = False


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether tools may (``auto``), must (``required``) or must not be called; or ``name`` must."""

    mode: Literal["auto", "none", "required"] = "auto"
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of a request and how they may be used; ``parallel`` allows several calls in one answer."""

    offered: tuple[Tool, ...] = ()
    choice: ToolChoice = field(default_factory=ToolChoice)
    parallel: bool = True

    @property
    def active(self) -> tuple[Tool, ...]:
        """Those that the model is told of."""
        if self.choice.mode == "none":
            return ()
        return self.offered

    @property
    def forced(self) -> tuple[Tool, ...]:
        """Those of which one must be called; empty if none must."""
        if self.choice.name is not None:
            return tuple(tool for tool in self.offered if tool.name == self.choice.name)
        return self.offered if self.choice.mode == "required" else ()
