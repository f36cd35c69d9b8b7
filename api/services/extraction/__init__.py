"""Text out of files, in a child process of its own, because files come from anywhere."""

from typing import Literal, TypeAlias

FailureCode: TypeAlias = Literal[
    "broken",
    "empty",
    "encrypted",
    "no_text",
    "too_large",
    "too_much_memory",
    "too_slow",
    "unsupported",
    "wrong_password",
]


class UnreadableFile(Exception):
    """The file gives no text; the message says why and what to do about it, for the person who sent it."""

    def __init__(self, code: FailureCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
