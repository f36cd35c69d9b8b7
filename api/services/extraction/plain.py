"""Text whose encoding nobody named and that is not UTF-8."""

from api.services.extraction.extracted import Extracted, refuse_beyond, refuse_blank
from api.services.extraction.guess import decode_any


def extract_plain(data: bytes, charset: str | None, *, max_characters: int) -> Extracted:
    """The characters, as they are.

    Raises:
        UnreadableFile: without text, or too long.
        UndecodableText: in no encoding that is known.
    """
    text = decode_any(data, charset)
    refuse_beyond(len(text), max_characters)
    return Extracted(refuse_blank(text), None)
