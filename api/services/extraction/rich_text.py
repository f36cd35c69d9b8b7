"""Rich Text Format (.rtf) as plain text."""

from striprtf.striprtf import rtf_to_text

from api.services.extraction import UnreadableFile
from api.services.extraction.extracted import Extracted, refuse_beyond, refuse_blank


def extract_rich_text(data: bytes, *, max_characters: int) -> Extracted:
    """The text of a document.

    Raises:
        UnreadableFile: damaged, without text, or too long.
    """
    try:
        text: str = rtf_to_text(data.decode("latin-1"), errors="replace")  # type: ignore[no-untyped-call]
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise UnreadableFile("broken", f"is damaged: its commands cannot be read ({error})") from error
    text = _without_surrogates(text).strip()
    refuse_beyond(len(text), max_characters)
    return Extracted(refuse_blank(text), None)


def _without_surrogates(text: str) -> str:
    r"""``\u`` gives UTF-16: pairs are one character, what is left over is none."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "")
