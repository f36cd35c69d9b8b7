"""What comes out of a file."""

from collections.abc import Iterable
from dataclasses import dataclass

from api.services.extraction import UnreadableFile

_PAGE_BREAK = "\n\n"


@dataclass(frozen=True, slots=True)
class Extracted:
    """``page_starts`` has the code-point offset of every page's first character; empty without pages."""

    text: str
    title: str | None
    page_starts: tuple[int, ...] = ()


def join_pages(pages: Iterable[str], max_characters: int) -> tuple[str, tuple[int, ...]]:
    """The pages with a blank line between them, and where each starts; an empty one has the next one's start.

    Raises:
        UnreadableFile: they hold more than ``max_characters``.
    """
    filled, starts, length = [], [], 0
    for page in pages:
        starts.append(length)
        if page:
            filled.append(page)
            length += len(page) + len(_PAGE_BREAK)
        refuse_beyond(length, max_characters)
    text = _PAGE_BREAK.join(filled)
    return text, tuple(min(start, len(text)) for start in starts)


def refuse_beyond(characters: int, max_characters: int) -> None:
    """Stops a file whose text grows past what one document may hold.

    Raises:
        UnreadableFile: ``characters`` are more than ``max_characters``.
    """
    if characters > max_characters:
        raise UnreadableFile("too_large", f"holds more than {max_characters:,} characters of text: split it")


def refuse_blank(text: str) -> str:
    """``text``, if there is any.

    Raises:
        UnreadableFile: there is none.
    """
    if not text or text.isspace():
        raise UnreadableFile("no_text", "holds no text")
    return text
