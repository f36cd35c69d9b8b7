"""A text or presentation in the Open Document Format (.odt, .odp) as Markdown; a slide is a page.

One walk over content.xml as it is unpacked. Footnotes stand in brackets where they are referred to. Left out:
deleted text, comments, and what stands on every slide.
"""

from collections.abc import Mapping
from typing import Final

from api.services.extraction import UnreadableFile
from api.services.extraction.archive import Archive
from api.services.extraction.extracted import Extracted, join_pages, refuse_beyond, refuse_blank
from api.services.extraction.markdown_writer import MarkdownWriter
from api.services.extraction.opc import text_of
from api.services.extraction.xml_events import End, Start, read_events

_CONTENT = "content.xml"
_META = "meta.xml"
_MANIFEST = "META-INF/manifest.xml"
_SKIPPED: Final = frozenset(
    {
        "tracked-changes",
        "annotation",
        "note-citation",
        "title",
        "desc",
        "forms",
        "automatic-styles",
        "settings",
    }
)
_CELLS: Final = frozenset({"table-cell", "covered-table-cell"})
_REPEATED: Final = frozenset({"header", "footer", "date-time", "page-number"})
_WIDEST = 64
_LONGEST_BLANK = 100


def extract_open_document(archive: Archive, *, max_characters: int) -> Extracted:
    """The text of a document or presentation; its title is that of its properties.

    Raises:
        UnreadableFile: encrypted, damaged, without text, or too long.
    """
    refuse_encrypted(archive)
    walk = _Walk(max_characters)
    with archive.open(_CONTENT) as stream:
        for event in read_events(stream):
            walk.tell(event)
    title = text_of(archive, _META, "title") if _META in archive else None
    text, starts = join_pages((page.text() for page in walk.pages), max_characters)
    return Extracted(refuse_blank(text), title, starts[1:])  # what stands before the first slide is none


def refuse_encrypted(archive: Archive) -> None:
    """Open documents encrypt their parts, and say so in their list of parts.

    Raises:
        UnreadableFile: encrypted.
    """
    if _MANIFEST not in archive:
        return
    with archive.open(_MANIFEST) as stream:
        for event in read_events(stream):
            if isinstance(event, Start) and event.name == "encryption-data":
                raise UnreadableFile("encrypted", "is encrypted: remove its password")


class _Walk:
    """Tells the writer what opens and closes; ``pages`` begins with what stands before the first slide."""

    def __init__(self, max_characters: int) -> None:
        self.pages = [MarkdownWriter()]
        self._max_characters = max_characters
        self._skipping: list[str] = []
        self._paragraphs = self._notes = self._tables = self._lists = self._characters = 0
        self._columns = 1
        self._is_title = False

    @property
    def _writer(self) -> MarkdownWriter:
        return self.pages[-1]

    def tell(self, event: Start | End | str) -> None:
        if isinstance(event, str):
            if self._paragraphs and not self._skipping:
                self._add(event)
        elif isinstance(event, Start):
            if self._skipping or event.name in _SKIPPED or event.attributes.get("class") in _REPEATED:
                self._skipping.append(event.name)
            else:
                self._open(event.name, event.attributes)
        elif self._skipping:
            self._skipping.pop()
        else:
            self._close(event.name)

    def _add(self, text: str) -> None:
        self._writer.add_text(text)
        self._characters += len(text)
        refuse_beyond(self._characters, self._max_characters)

    def _open(self, name: str, attributes: Mapping[str, str]) -> None:
        if name in {"p", "h"}:
            self._open_paragraph(name, attributes)
        elif name == "s":
            self._add(" " * _number(attributes.get("c", "1"), _LONGEST_BLANK))
        elif name == "tab":
            self._add("\t")
        elif name == "line-break":
            self._writer.break_line()
        elif name == "note-body":
            self._notes += 1
            self._add(" (")
        elif name == "page":
            self._writer.end_block()
            self.pages.append(MarkdownWriter())
        elif name == "frame":
            self._is_title = attributes.get("class") == "title"
        elif not self._notes:
            self._open_structure(name, attributes)

    def _open_paragraph(self, name: str, attributes: Mapping[str, str]) -> None:
        self._paragraphs += 1
        if self._notes:
            return
        if name == "h":
            self._writer.open_heading(_number(attributes.get("outline-level", "1"), 6))
        elif self._is_title:
            self._writer.open_heading(2)

    def _open_structure(self, name: str, attributes: Mapping[str, str]) -> None:
        """Inside a cell another table is only text: Markdown has no tables in tables."""
        if name == "table":
            self._tables += 1
            if self._tables == 1:
                self._writer.open_table()
        elif self._tables and name == "table-row":
            if self._tables == 1:
                self._writer.open_row()
        elif self._tables and name in _CELLS:
            if self._tables == 1:
                self._columns = _number(attributes.get("number-columns-repeated", "1"), _WIDEST)
                self._writer.open_cell()
        elif name == "list":
            self._writer.open_list()
        elif name in {"list-item", "list-header"}:
            self._writer.open_item()

    def _close(self, name: str) -> None:
        if name in {"p", "h"}:
            self._paragraphs -= 1
            if not self._notes:
                self._writer.end_block()
        elif name == "note-body":
            self._notes -= 1
            self._add(")")
        elif name == "frame":
            self._is_title = False
        elif not self._notes:
            self._close_structure(name)

    def _close_structure(self, name: str) -> None:
        if name == "table":
            self._tables -= 1
            if not self._tables:
                self._writer.close_table()
        elif self._tables == 1 and name == "table-row":
            self._writer.close_row()
        elif self._tables == 1 and name in _CELLS:
            self._writer.close_cell()
            for _ in range(self._columns - 1):
                self._writer.open_cell()
                self._writer.close_cell()
        elif name == "list":
            self._writer.close_list()


def _number(value: str, most: int) -> int:
    return max(1, min(int(value), most)) if value.isdecimal() else 1
