"""Reads one tool call, a JSON object, while its text comes in: the name once, the arguments as they grow.

Knows JSON's strings and brackets and checks nothing else: what a model writes is told as it is.
"""

import json
from collections.abc import Iterator

from embedd.generators import ToolCallPiece

_ARGUMENTS = ("arguments", "parameters")


class CallReader:
    """The call ``index``, which gets the next of ``new_ids``; ``done`` behind its closing brace."""

    def __init__(self, index: int, new_ids: Iterator[str]) -> None:
        self._index = index
        self._new_ids = new_ids
        self._depth = 0
        self._quoted = self._escaped = False
        self._key: str | None = None  # of the value that is read; None while a key is
        self._text = ""  # the key's or the value's, as it is written; of open arguments only the beginning
        self._named = False
        self._waiting = ""  # arguments that came before the name
        self.done = False

    def add(self, text: str) -> tuple[int, list[ToolCallPiece]]:
        """How many characters of ``text`` belong to the call, and what they say."""
        pieces: list[ToolCallPiece] = []
        for place, character in enumerate(text, 1):
            if piece := self._read(character):
                pieces.append(piece)
            if self.done:
                return place, _joined(pieces)
        return len(text), _joined(pieces)

    def _read(self, character: str) -> ToolCallPiece | None:
        if self._depth == 0:
            self._depth = int(character == "{")
            return None
        if self._depth == 1 and not self._quoted:
            if character == ":" and self._key is None:
                self._key, self._text = _decoded(self._text), ""
                return None
            if character in ",}":
                self.done = character == "}"
                return self._end_entry()
        if character.isspace() and not self._text:
            return None
        self._track(character)
        return self._take(character)

    def _take(self, character: str) -> ToolCallPiece | None:
        """One more character of a key or value; of arguments that are an object it is told at once."""
        if self._key not in _ARGUMENTS or (self._text or character)[0] == '"':
            self._text += character
            return None
        self._text = self._text or character
        return self._tell(character)

    def _end_entry(self) -> ToolCallPiece | None:
        key, text = self._key, self._text
        self._key, self._text = None, ""
        if key == "name":
            self._named = True
            return ToolCallPiece(self._index, next(self._new_ids), _decoded(text), self._waiting)
        return self._tell(_decoded(text)) if key in _ARGUMENTS and text.startswith('"') else None

    def _tell(self, arguments: str) -> ToolCallPiece | None:
        if self._named:
            return ToolCallPiece(self._index, arguments=arguments)
        self._waiting += arguments
        return None

    def _track(self, character: str) -> None:
        """Follows strings and brackets."""
        if self._quoted:
            self._quoted = self._escaped or character != '"'
            self._escaped = character == "\\" and not self._escaped
        elif character == '"':
            self._quoted = True
        elif character in "{[":
            self._depth += 1
        elif character in "}]":
            self._depth -= 1


def _joined(pieces: list[ToolCallPiece]) -> list[ToolCallPiece]:
    """As few pieces as say the same."""
    if not pieces:
        return []
    first, arguments = pieces[0], "".join(piece.arguments for piece in pieces)
    named = next((piece for piece in pieces if piece.name is not None), first)
    return [ToolCallPiece(first.index, named.id, named.name, arguments)]


def _decoded(written: str) -> str:
    """A JSON string's text; what is none stays as it is."""
    try:
        return str(json.loads(written))
    except ValueError:
        return written.strip()
