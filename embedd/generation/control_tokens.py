"""Control tokens in what clients and documents say: there they are text, and no turn ends or begins by them.

They are marked before the template sees them, and found again behind it, as transformers does with
``mark_control_tokens``. https://github.com/huggingface/transformers, utils/chat_template_utils.py
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

_OPEN, _CLOSE = "\ufdd0", "\ufdd1"  # never characters, so nobody's text has them


class ControlTokens:
    """The tokens written ``tokens``."""

    def __init__(self, tokens: Iterable[str]) -> None:
        longest_first = sorted(filter(None, tokens), key=len, reverse=True)
        any_of = "|".join(map(re.escape, longest_first)) or "(?!)"
        self._token = re.compile(any_of)
        self._marked = re.compile(f"{_OPEN}({any_of}){_CLOSE}|[{_OPEN}{_CLOSE}]")
        self._marks = re.compile(f"[{_OPEN}{_CLOSE}]")

    def mark(self, value: Any) -> Any:
        """``value``, JSON of any kind, with the tokens in its texts marked; keys stay as they are."""
        if isinstance(value, str):
            return self._token.sub(f"{_OPEN}\\g<0>{_CLOSE}", self._marks.sub("", value))
        if isinstance(value, dict):
            return {key: self.mark(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.mark(inner) for inner in value]
        return value

    def split(self, text: str) -> Iterator[tuple[str, bool]]:
        """The pieces of a rendered text, and whether each was marked. A template may have parted two marks;
        one alone says nothing, but no token is made of what is on both sides of it.
        """
        for place, piece in enumerate(self._marked.split(text)):
            if piece:
                yield piece, place % 2 == 1
