"""A presentation (.pptx) as Markdown, a slide a page: its title, its text, tables and charts, and the notes.

What stands on every slide (date, footer, number) is left out.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from api.services.extraction.archive import Archive
from api.services.extraction.chart import write_chart
from api.services.extraction.extracted import Extracted, join_pages, refuse_beyond, refuse_blank
from api.services.extraction.markdown_writer import MarkdownWriter
from api.services.extraction.opc import core_title, main_part, relations
from api.services.extraction.xml_events import End, Start, read_events

_TITLES: Final = {"ctrTitle": 1, "title": 2}
_REPEATED: Final = frozenset({"dt", "ftr", "hdr", "sldNum", "sldImg"})
_PROSE: Final = frozenset({"", "subTitle"})
_NOTES_TITLE = "Notes:"
_DEEPEST_LIST = 9


def extract_slides(archive: Archive, *, max_characters: int) -> Extracted:
    """The text of a presentation; its title is that of its properties.

    Raises:
        UnreadableFile: damaged, without text, or too long.
    """
    slides = (_slide(archive, part, max_characters) for part in _slide_parts(archive))
    text, starts = join_pages(slides, max_characters)
    return Extracted(refuse_blank(text), core_title(archive), starts)


def _slide_parts(archive: Archive) -> Iterator[str]:
    """In the order they are shown, which their names do not tell; one that is missing is skipped."""
    presentation = main_part(archive, "ppt/presentation.xml")
    related = relations(archive, presentation)
    with archive.open(presentation) as stream:
        for event in read_events(stream):
            if isinstance(event, Start) and event.name == "sldId":
                slide = related.get(event.attributes.get("id", ""))
                if slide is not None and slide.part in archive:
                    yield slide.part


def _slide(archive: Archive, part: str, max_characters: int) -> str:
    writer = MarkdownWriter()
    _write_shapes(archive, part, _Walk(writer, max_characters))
    for relation in relations(archive, part).values():
        if relation.part not in archive:
            continue
        if relation.kind == "chart":
            write_chart(archive, relation.part, writer)
        elif relation.kind == "diagramData":
            _write_shapes(archive, relation.part, _Walk(writer, max_characters))
        elif relation.kind == "notesSlide":
            _write_notes(archive, relation.part, writer, max_characters)
    return writer.text()


def _write_notes(archive: Archive, part: str, writer: MarkdownWriter, max_characters: int) -> None:
    """What the speaker reads; a slide's page of notes may well be empty."""
    notes = MarkdownWriter()
    _write_shapes(archive, part, _Walk(notes, max_characters, lists=False))
    if text := notes.text():
        writer.end_block()
        writer.add_text(_NOTES_TITLE)
        for line in text.split("\n"):
            writer.break_line()
            writer.add_text(line)
        writer.end_block()


def _write_shapes(archive: Archive, part: str, walk: "_Walk") -> None:
    with archive.open(part) as stream:
        for event in read_events(stream):
            walk.tell(event)
    walk.end()


class _Walk:
    """Tells the writer what opens and closes; ``lists`` says whether placeholders hold points or prose."""

    def __init__(self, writer: MarkdownWriter, max_characters: int, *, lists: bool = True) -> None:
        self._writer = writer
        self._max_characters = max_characters
        self._lists = lists
        self._placeholder = ""
        self._in_text = 0
        self._in_table = False
        self._open_lists = 0

    def tell(self, event: Start | End | str) -> None:
        if isinstance(event, Start):
            self._open(event.name, event.attributes)
        elif isinstance(event, End):
            self._close(event.name)
        elif self._in_text and self._placeholder not in _REPEATED:
            self._writer.add_text(event)
            refuse_beyond(self._writer.characters, self._max_characters)

    def end(self) -> None:
        self._leave_lists()
        self._writer.end_block()

    def _open(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "t":
            self._in_text += 1
        elif name in {"sp", "graphicFrame"}:
            self._placeholder = ""
        elif name == "ph":
            self._placeholder = attributes.get("type", "body")
        elif name == "p":
            self._open_paragraph(1)
        elif name == "pPr":
            level = attributes.get("lvl", "0")
            self._open_paragraph(1 + min(int(level), _DEEPEST_LIST - 1) if level.isdecimal() else 1)
        elif name == "br":
            self._writer.break_line()
        elif name == "tbl":
            self._in_table = True
            self.end()
            self._writer.open_table()
        elif name == "tr":
            self._writer.open_row()
        elif name == "tc":
            self._writer.open_cell()

    def _close(self, name: str) -> None:
        if name == "t":
            self._in_text -= 1
        elif name == "p":
            self._writer.end_block()
        elif name == "tc":
            self._writer.close_cell()
        elif name == "tr":
            self._writer.close_row()
        elif name == "tbl":
            self._in_table = False
            self._writer.close_table()

    def _open_paragraph(self, depth: int) -> None:
        if self._in_table:
            return
        self.end()
        if level := _TITLES.get(self._placeholder):
            self._writer.open_heading(level)
        elif self._lists and self._placeholder not in _PROSE:
            for _ in range(depth):
                self._open_lists += 1
                self._writer.open_list()
            self._writer.open_item()

    def _leave_lists(self) -> None:
        while self._open_lists:
            self._open_lists -= 1
            self._writer.close_list()
