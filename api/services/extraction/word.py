"""A Word document (.docx) as Markdown: headings, paragraphs, lists, tables, footnotes at the end.

One walk over its XML as it is unpacked. Left out: deleted text, comments, headers and footers, which stand
on every page. Text boxes are read once, though files hold them twice for older programs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from api.services.extraction.archive import Archive
from api.services.extraction.extracted import Extracted, refuse_beyond, refuse_blank
from api.services.extraction.markdown_writer import MarkdownWriter
from api.services.extraction.opc import core_title, main_part, relations
from api.services.extraction.xml_events import End, Start, read_events

# Deleted or moved text, old properties, and the second copy of what stands in a Choice.
_SKIPPED: Final = frozenset(
    {
        *("del", "moveFrom", "Fallback", "rPr", "tabs", "sectPr"),
        *("pPrChange", "tblPrChange", "tcPrChange", "trPrChange", "sdtPr"),
    }
)
_NOTES: Final = frozenset({"footnotes", "endnotes"})
_NO_NOTES: Final = frozenset({"separator", "continuationSeparator", "continuationNotice"})
_DEEPEST_HEADING = 6
_DEEPEST_LIST = 9
_WIDEST_SPAN = 64
_LONGEST_ANCESTRY = 10
_NO_NUMBERING = "0"
_BUILT_IN = re.compile(r"(?P<what>heading|list bullet|list number) ?(?P<number>[1-9])?")


def extract_word(archive: Archive, *, max_characters: int) -> Extracted:
    """The text of a document; its title is that of its properties.

    Raises:
        UnreadableFile: damaged, without text, or too long.
    """
    document = main_part(archive, "word/document.xml")
    related = relations(archive, document).values()
    styles = next((one.part for one in related if one.kind == "styles" and one.part in archive), None)
    walk = _Walk(_read_styles(archive, styles) if styles else {}, max_characters)
    notes = (one.part for one in related if one.kind in _NOTES and one.part in archive)
    for part in (document, *notes):
        with archive.open(part) as stream:
            for event in read_events(stream):
                walk.tell(event)
        walk.writer.end_block()
    return Extracted(refuse_blank(walk.writer.text()), core_title(archive))


@dataclass(slots=True)
class _Style:
    """What its paragraphs are: headings of ``level``, or items of a list ``item`` deep; else 0."""

    level: int = 0
    item: int = 0
    based_on: str = ""


def _read_styles(archive: Archive, part: str) -> dict[str, _Style]:
    styles: dict[str, _Style] = {}
    style = _Style()
    with archive.open(part) as stream:
        for event in read_events(stream):
            if not isinstance(event, Start):
                continue
            value = event.attributes.get("val", "")
            if event.name == "style":
                style = styles.setdefault(event.attributes.get("styleId", ""), _Style())
            elif event.name == "name":
                style.level, style.item = _meaning(value)
            elif event.name == "basedOn":
                style.based_on = value
    return {id_: _inherited(style, styles) for id_, style in styles.items()}


def _inherited(style: _Style, styles: Mapping[str, _Style]) -> _Style:
    for _ in range(_LONGEST_ANCESTRY):
        if style.level or style.item or style.based_on not in styles:
            break
        style = styles[style.based_on]
    return style


def _meaning(name: str) -> tuple[int, int]:
    """The level and the depth of a built-in style: these keep their English names in every language."""
    if name.lower() == "title":
        return 1, 0
    found = _BUILT_IN.fullmatch(name.lower())
    if found is None:
        return 0, 0
    number = int(found["number"] or 1)
    return (min(number, _DEEPEST_HEADING), 0) if found["what"] == "heading" else (0, number)


class _Walk:
    """Tells the writer what opens and closes."""

    def __init__(self, styles: Mapping[str, _Style], max_characters: int) -> None:
        self.writer = MarkdownWriter()
        self._styles = styles
        self._max_characters = max_characters
        self._skipping = ""
        self._skip_depth = 0
        self._in_text = 0
        self._tables = 0
        self._lists = 0
        self._level = self._item = 0
        self._span = 1

    def tell(self, event: Start | End | str) -> None:
        if isinstance(event, str):
            if self._in_text and not self._skipping:
                self.writer.add_text(event)
                refuse_beyond(self.writer.characters, self._max_characters)
        elif self._skipping:
            self._skip(event)
        elif isinstance(event, Start):
            self._open(event.name, event.attributes)
        else:
            self._close(event.name)

    def _skip(self, event: Start | End) -> None:
        if event.name == self._skipping:
            self._skip_depth += 1 if isinstance(event, Start) else -1
            if not self._skip_depth:
                self._skipping = ""

    def _open(self, name: str, attributes: Mapping[str, str]) -> None:
        value = attributes.get("val", "")
        if name in _SKIPPED or (name in {"footnote", "endnote"} and attributes.get("type") in _NO_NOTES):
            self._skipping, self._skip_depth = name, 1
        elif name == "t":
            self._in_text += 1
        elif name == "p":
            self._open_paragraph()
        elif name == "pStyle":
            style = self._styles.get(value, _Style())
            self._level, self._item = style.level, style.item
        elif name == "ilvl":
            self._item = max(self._item, 1) + (int(value) if value.isdecimal() else 0)
        elif name == "numId":
            self._item = 0 if value == _NO_NUMBERING else max(self._item, 1)
        elif name in {"tab", "br", "cr", "noBreakHyphen"}:
            self._write_mark(name)
        else:
            self._open_table_part(name, value)

    def _write_mark(self, name: str) -> None:
        if name in {"br", "cr"}:
            self.writer.break_line()
        else:
            self.writer.add_text("-" if name == "noBreakHyphen" else "\t")

    def _open_paragraph(self) -> None:
        self._leave_lists()
        self.writer.end_block()
        self._level = self._item = 0

    def _open_table_part(self, name: str, value: str) -> None:
        """Inside a cell another table is only text: Markdown has no tables in tables."""
        if name == "tbl":
            self._tables += 1
            if self._tables == 1:
                self._leave_lists()
                self.writer.open_table()
        elif name == "gridSpan":
            self._span = min(int(value), _WIDEST_SPAN) if value.isdecimal() else 1
        elif self._tables == 1 and name == "tr":
            self.writer.open_row()
        elif self._tables == 1 and name == "tc":
            self._span = 1
            self.writer.open_cell()

    def _close(self, name: str) -> None:
        if name == "t":
            self._in_text -= 1
        elif name == "pPr":
            self._begin_block()
        elif name == "p":
            self.writer.end_block()
        elif name == "tbl":
            self._tables -= 1
            if not self._tables:
                self.writer.close_table()
        elif self._tables == 1 and name == "tc":
            self._close_cell()
        elif self._tables == 1 and name == "tr":
            self.writer.close_row()

    def _begin_block(self) -> None:
        """What a paragraph is stands in its properties, which come first."""
        if self._tables:
            return
        if self._level:
            self.writer.open_heading(self._level)
        elif self._item:
            for _ in range(min(self._item, _DEEPEST_LIST)):
                self._lists += 1
                self.writer.open_list()
            self.writer.open_item()

    def _leave_lists(self) -> None:
        while self._lists:
            self._lists -= 1
            self.writer.close_list()

    def _close_cell(self) -> None:
        self.writer.close_cell()
        for _ in range(self._span - 1):
            self.writer.open_cell()
            self.writer.close_cell()
        self._span = 1
