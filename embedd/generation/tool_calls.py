"""Tool calls in the words of a model: how each family marks them, and where they stand in an answer.

A model calls tools in the syntax that its chat template taught it, so the syntax is found in the template.
Knows marks; what stands between them is ``call_reader``'s.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from embedd.generation.call_reader import CallReader
from embedd.generation.stops import beginning_of
from embedd.generators import ToolCallPiece

_BARE_CALL = '{"name"'


@dataclass(frozen=True, slots=True)
class ToolSyntax:
    """``open`` stands before a call and ``close`` behind it; without a ``close`` all calls of an answer
    follow one ``open``, one after another, ``listed`` as JSON.

    Calls are objects with a ``name`` and, under the key ``arguments``, the arguments. Models of a ``bare``
    syntax write the object alone, without a mark.
    """

    open: str
    close: str = ""
    arguments: Literal["arguments", "parameters"] = "arguments"
    listed: bool = False
    bare: bool = False


HERMES = ToolSyntax("<tool_call>", "</tool_call>")
MISTRAL = ToolSyntax("[TOOL_CALLS]", listed=True)
LLAMA3 = ToolSyntax("<|python_tag|>", arguments="parameters", bare=True)


def syntax_of(template: str) -> ToolSyntax | None:
    """The syntax that a chat template teaches; None if it has no tools, or writes calls in another one."""
    if "tools" not in template or "[ARGS]" in template:
        return None
    if "[TOOL_CALLS]" in template:
        return MISTRAL
    if "<tool_call>" in template:
        return HERMES
    if "<|python_tag|>" in template or '"parameters": ' in template:
        return LLAMA3
    return None


@dataclass(frozen=True, slots=True)
class Heard:
    """What a piece of text was: words for the reader, and pieces of calls."""

    content: str = ""
    calls: tuple[ToolCallPiece, ...] = ()


class ToolCallReader:
    """Tells calls from content while the text comes in. Calls behind the first are left out unless they may
    be ``parallel``. What looks like the beginning of a mark is held back until it is clear.
    """

    def __init__(self, syntax: ToolSyntax, new_ids: Iterator[str], *, parallel: bool = True) -> None:
        self._syntax = syntax
        self._new_ids = new_ids
        self._parallel = parallel
        self._held = ""
        self._state: Literal["content", "opened", "calling", "closing"] = "content"
        self._begun = False  # something else than blanks was said
        self._call: CallReader | None = None
        self.calls = 0

    def add(self, piece: str) -> Heard:
        """What ``piece`` adds, together with what was held back."""
        self._held += piece
        content, calls = "", []
        while self._held:
            state = self._state
            if state == "content":
                content += self._read_content()
            elif state == "calling":
                calls += self._read_call()
            else:
                self._skip_to_next("{" if state == "opened" else self._syntax.close)
            if self._state == state:
                break
        return Heard(content, tuple(calls))

    def finish(self) -> Heard:
        """What was held back and became no call: content."""
        held, self._held = self._held, ""
        return Heard(held if self._state == "content" and (self.calls == 0 or held.strip()) else "")

    def _read_content(self) -> str:
        """What may be said of what is held, up to a mark."""
        mark = self._syntax.open
        start = self._held.find(mark)
        if start >= 0:
            said, self._held = self._held[:start], self._held[start + len(mark) :]
            self._state = "opened"
            return said if self._begun or said.strip() else ""
        if not self._begun and self._may_be_bare_call():
            return ""
        keep = beginning_of(mark, self._held)
        said = self._held[: len(self._held) - keep]
        if not self._begun and not said.strip():
            return ""  # blanks before a call are nobody's; before words they come with them
        self._begun, self._held = True, self._held[len(said) :]
        return said

    def _may_be_bare_call(self) -> bool:
        """Whether the answer begins with a call without a mark, or may yet; then nothing may be said."""
        if not self._syntax.bare:
            return False
        compact = "".join(self._held.split())[: len(_BARE_CALL)]
        if compact == _BARE_CALL:
            self._state = "opened"
        return _BARE_CALL.startswith(compact)

    def _skip_to_next(self, mark: str) -> None:
        """Leaves out what stands before ``mark``; it may not have come yet."""
        start = self._held.find(mark)
        if start < 0:
            self._held = self._held[len(self._held) - beginning_of(mark, self._held) :]
        elif self._state == "closing":
            self._state, self._held = "content", self._held[start + len(mark) :]
            self._begun = False
        else:
            self._state, self._held = "calling", self._held[start:]
            self._call = CallReader(self.calls, self._new_ids)

    def _read_call(self) -> list[ToolCallPiece]:
        assert self._call is not None
        heard = self._parallel or self.calls == 0
        consumed, pieces = self._call.add(self._held)
        self._held = self._held[consumed:]
        if self._call.done:
            self.calls += heard
            self._state = "closing" if self._syntax.close else "opened"
        return pieces if heard else []
