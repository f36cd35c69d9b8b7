"""What comes out of a file."""

from dataclasses import dataclass

from api.services.extraction import UnreadableFile


@dataclass(frozen=True, slots=True)
class Extracted:
    """``page_starts`` has the code-point offset of every page's first character; empty without pages."""

    text: str
    title: str | None
    page_starts: tuple[int, ...] = ()


def refuse_beyond(characters: int, max_characters: int) -> None:
    """Stops a file whose text grows past what one document may hold.

    Raises:
        UnreadableFile: ``characters`` are more than ``max_characters``.
    """
    if characters > max_characters:
        raise UnreadableFile(f"holds more than {max_characters:,} characters of text: split it")
