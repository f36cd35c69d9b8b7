"""A model's chat template: from turns and tools to the text that the model continues.

Knows where model folders keep templates and what templates are given; ``sandbox`` keeps them in bounds.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from jinja2.exceptions import SecurityError

from embedd.conversation import Tool, ToolCall, Turn
from embedd.errors import InvalidInput, ModelLoadError
from embedd.generation.sandbox import MOST_CHARACTERS, TemplateSandbox
from embedd.model_json import read_object, read_text

MOST_TEMPLATE_BYTES = 2**20

_DEFAULT = "default"
_WITH_TOOLS = "tool_use"
_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class ChatTemplate:
    """A template with what its model calls its special tokens; of one thread at a time."""

    def __init__(self, sources: Mapping[str, str], special_tokens: Mapping[str, str]) -> None:
        self._environment = TemplateSandbox()
        self._special_tokens = special_tokens
        self._templates = {name: self._compile(source) for name, source in sources.items()}
        self.source = sources.get(_WITH_TOOLS, sources[_DEFAULT])

    def render(
        self,
        turns: Sequence[Turn],
        tools: Sequence[Tool] = (),
        options: Mapping[str, Any] | None = None,
        mark: Callable[[Any], Any] = lambda it: it,
    ) -> str:
        """The text of ``turns`` up to where the assistant begins to speak; the template sees what ``mark``
        makes of what is said. ``options`` replace nothing that templates are always given.

        Raises:
            InvalidInput: the template refuses such turns, or does something it may not.
        """
        template = self._templates.get(_WITH_TOOLS if tools else _DEFAULT) or self._templates[_DEFAULT]
        self._environment.begin()
        given = {
            **mark(options or {}),
            **self._special_tokens,
            "messages": [{"role": turn.role, **mark(_message(turn))} for turn in turns],
            "tools": [mark(_function(tool)) for tool in tools] or None,
            "documents": None,
            "add_generation_prompt": True,
        }
        pieces = template.generate(given)
        try:
            return _joined(pieces)
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise InvalidInput(f"the model's chat template refuses these messages: {error}") from error
        except (AttributeError, RecursionError, MemoryError) as error:
            raise InvalidInput(f"the model's chat template fails on these messages: {error!r}") from error

    def _compile(self, source: str) -> jinja2.Template:
        if len(source.encode()) > MOST_TEMPLATE_BYTES:
            raise ModelLoadError(f"its chat template has more than {MOST_TEMPLATE_BYTES} bytes")
        try:
            return self._environment.from_string(source)
        except (jinja2.TemplateError, RecursionError) as error:
            raise ModelLoadError(f"its chat template is not valid: {error}") from error


def read_template(folder: Path, fallback: Path | None = None) -> ChatTemplate | None:
    """The template of the model in ``folder``, or that in the file ``fallback`` if it has none of its own.

    Raises:
        ModelLoadError: a template is there and cannot be used.
    """
    config = read_object(folder / "tokenizer_config.json", optional=True)
    sources = _sources(folder, config)
    if not sources and fallback is not None:
        sources = {_DEFAULT: read_text(fallback)}
    if not sources:
        return None
    if _DEFAULT not in sources:
        raise ModelLoadError(f"its chat templates {sorted(sources)} have none called {_DEFAULT!r}")
    return ChatTemplate(sources, special_tokens(config))


def special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """The texts of the tokens that tokenizer_config.json names, by what it calls them."""
    named = {name: config[name] for name in _SPECIAL if config.get(name)}
    return {name: token["content"] if isinstance(token, dict) else token for name, token in named.items()}


def _sources(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """By name; files are stronger than what stands in the tokenizer's config."""
    apart = read_object(folder / "chat_template.json", optional=True)
    kept = config.get("chat_template") or apart.get("chat_template")
    sources: dict[str, str] = {}
    if isinstance(kept, str):
        sources[_DEFAULT] = kept
    elif kept:
        sources |= {one["name"]: one["template"] for one in kept}
    if (alone := folder / "chat_template.jinja").exists():
        sources[_DEFAULT] = read_text(alone)
    for path in sorted((folder / "additional_chat_templates").glob("*.jinja")):
        sources[path.stem] = read_text(path)
    return sources


def _message(turn: Turn) -> dict[str, Any]:
    """All but its role."""
    message: dict[str, Any] = {"content": turn.content}
    if turn.tool_calls:
        message["tool_calls"] = [_call(call) for call in turn.tool_calls]
    if turn.tool_call_id is not None:
        message["tool_call_id"] = turn.tool_call_id
    if turn.name is not None:
        message["name"] = turn.name
    return message


def _call(call: ToolCall) -> dict[str, Any]:
    """Templates write the arguments as JSON themselves, so they get them decoded."""
    try:
        arguments: Any = json.loads(call.arguments)
    except (ValueError, RecursionError):
        arguments = call.arguments
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _function(tool: Tool) -> dict[str, Any]:
    parameters = tool.parameters if tool.parameters is not None else {"type": "object", "properties": {}}
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


def _joined(pieces: Any) -> str:
    texts: list[str] = []
    length = 0
    for piece in pieces:
        length += len(piece)
        if length > MOST_CHARACTERS:
            raise SecurityError(f"it writes more than {MOST_CHARACTERS} characters")
        texts.append(piece)
    return "".join(texts)
