"""Long texts in pieces that a tokenizer can take at once. Pure; offsets are code points.

No token of a model that splits words at blanks changes where a text is cut here; others may have one more.
"""

from collections.abc import Iterator, Sequence

from embedd.encoding import Truncate

STRETCH = 2**16
"""Characters given to the library at once: it takes up to 160 bytes of memory for each."""


def stretches(text: str) -> Iterator[tuple[int, str]]:
    """The text in pieces with their offsets, cut in front of a blank where there is one."""
    start = 0
    while len(text) - start > STRETCH:
        middle, end = start + STRETCH // 2, start + STRETCH
        cut = max(text.rfind("\n", middle, end), text.rfind(" ", middle, end))
        end = cut if cut > 0 else end
        yield start, text[start:end]
        start = end
    yield start, text[start:]


def groups(texts: Sequence[str]) -> Iterator[list[str]]:
    """Neighbouring texts that have a stretch's length together; a longer one comes alone."""
    group: list[str] = []
    size = 0
    for text in texts:
        if group and size + len(text) > STRETCH:
            yield group
            group, size = [], 0
        group.append(text)
        size += len(text)
    if group:
        yield group


def end_of(text: str, size: int, truncate: Truncate) -> str:
    """About ``size`` characters of the end that is kept, cut at a blank in its outer half if there is one."""
    if len(text) <= size:
        return text
    if truncate == "start":
        first = len(text) - size
        blanks = [text.find(blank, first, first + size // 2) for blank in " \n"]
        return text[min((at for at in blanks if at >= 0), default=first) :]
    blanks = [text.rfind(blank, size // 2, size) for blank in " \n"]
    return text[: max((at for at in blanks if at >= 0), default=size)]
