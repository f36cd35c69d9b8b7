"""A book (.epub) as Markdown: its chapters in reading order, each read like a web page."""

import posixpath
import re
from collections.abc import Iterator
from urllib.parse import unquote

from api.services.extraction import UnreadableFile
from api.services.extraction.archive import Archive
from api.services.extraction.extracted import Extracted, join_pages, refuse_blank
from api.services.extraction.html import read_page
from api.services.extraction.opc import text_of
from api.services.extraction.xml_events import Start, read_events

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_PAGES = frozenset({"application/xhtml+xml", "text/html"})
# In HTML these would swallow the rest of the page: there, only their end tag ends them.
_CLOSED_AT_ONCE = re.compile(rb"<(title|script|style|textarea|iframe)\b([^<>]*)/>", re.IGNORECASE)


def extract_epub(archive: Archive, *, max_characters: int) -> Extracted:
    """The text of a book; its title is that of its package.

    Raises:
        UnreadableFile: encrypted, damaged, without text, or too long.
    """
    package = _package(archive)
    encrypted = _encrypted(archive)
    chapters = list(_chapters(archive, package))
    if any(chapter in encrypted for chapter in chapters):
        raise UnreadableFile("encrypted", "is encrypted by its shop: only its own reader can open it")
    pages = (_page(archive, chapter, max_characters) for chapter in chapters if chapter in archive)
    text, _ = join_pages(pages, max_characters)
    return Extracted(refuse_blank(text), text_of(archive, package, "title"))


def _package(archive: Archive) -> str:
    with archive.open(_CONTAINER) as stream:
        for event in read_events(stream):
            if isinstance(event, Start) and event.name == "rootfile" and "full-path" in event.attributes:
                return event.attributes["full-path"]
    raise UnreadableFile("broken", "is damaged: it does not say where its book is")


def _chapters(archive: Archive, package: str) -> Iterator[str]:
    """Each once, wherever the spine names it again."""
    folder = posixpath.dirname(package)
    pages: dict[str, str] = {}
    seen: set[str] = set()
    with archive.open(package) as stream:
        for event in read_events(stream):
            if not isinstance(event, Start):
                continue
            if event.name == "item" and event.attributes.get("media-type") in _PAGES:
                path = posixpath.normpath(posixpath.join(folder, unquote(event.attributes.get("href", ""))))
                pages[event.attributes.get("id", "")] = path
            elif event.name == "itemref":
                chapter = pages.get(event.attributes.get("idref", ""))
                if chapter is not None and chapter not in seen:
                    seen.add(chapter)
                    yield chapter


def _encrypted(archive: Archive) -> frozenset[str]:
    """The encrypted members; books that only scramble their fonts list these."""
    if _ENCRYPTION not in archive:
        return frozenset()
    with archive.open(_ENCRYPTION) as stream:
        return frozenset(
            unquote(event.attributes["URI"])
            for event in read_events(stream)
            if isinstance(event, Start) and event.name == "CipherReference" and "URI" in event.attributes
        )


def _page(archive: Archive, chapter: str, max_characters: int) -> str:
    page = _CLOSED_AT_ONCE.sub(rb"<\1\2></\1>", archive.read(chapter))
    return read_page(page, None, max_characters=max_characters).text
