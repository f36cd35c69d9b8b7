"""Where the commands print: answers to standard output, progress and complaints to standard error.

Texts of documents come from anywhere, so what could steer a terminal is taken out of them first.
"""

import re

from rich.console import Console

# C0 and C1 controls and the marks that reorder text, without tab and newline.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """``text`` with every control character but tab and newline replaced by U+FFFD."""
    return _STEERING.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def in_one_line(text: str) -> str:
    """``text``, printable, with every run of blanks as one space."""
    return " ".join(printable(text).split())


def standard_output() -> Console:
    return Console(highlight=False)


def standard_error() -> Console:
    return Console(stderr=True, highlight=False)
