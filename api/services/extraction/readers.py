"""The reader of each kind of file."""

from collections.abc import Callable
from typing import Final, get_args

from api.services.extraction import UnreadableFile
from api.services.extraction.containers import extract_ole, extract_zip
from api.services.extraction.delimited import extract_delimited
from api.services.extraction.extracted import Extracted
from api.services.extraction.html import extract_html
from api.services.extraction.mail import extract_mail
from api.services.extraction.notebook import extract_notebook
from api.services.extraction.pdf import extract_pdf
from api.services.extraction.plain import extract_plain
from api.services.extraction.rich_text import extract_rich_text
from api.services.extraction.source import Source
from api.services.file_types import Container, Kind

_TEXTS: Final[dict[Kind, Callable[..., Extracted]]] = {
    "text": extract_plain,
    "markdown": extract_plain,
    "html": extract_html,
    "csv": extract_delimited,
    "tsv": extract_delimited,
    "ipynb": extract_notebook,
}
_CONTAINERS: Final = {"zip": extract_zip, "ole": extract_ole}


def extract(
    kind: Kind | Container, source: Source, *, charset: str | None, password: str | None, max_characters: int
) -> tuple[Kind, Extracted]:
    """What ``source`` holds, and the kind of document it turned out to be.

    Raises:
        UnreadableFile: with the reason.
        UndecodableText: its text is in no encoding that is known.
    """
    if kind in get_args(Container):
        return _CONTAINERS[kind](source, max_characters)
    if kind == "pdf":
        return kind, extract_pdf(source.content, password, max_characters=max_characters)
    if kind == "eml":
        return kind, extract_mail(source.read(), max_characters=max_characters)
    if kind == "rtf":
        return kind, extract_rich_text(source.read(), max_characters=max_characters)
    if kind in _TEXTS:
        return kind, _TEXTS[kind](source.read(), charset, max_characters=max_characters)
    raise UnreadableFile("broken", f"is damaged or no {kind} file: it does not begin like one")
