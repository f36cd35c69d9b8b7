"""A web page as Markdown that a person can read: headings, paragraphs, lists, tables and code; no links.

Scripts, styles, navigation, footers and controls are left out. One walk over the tree without recursion, so
nesting of any depth costs its own length and no more.
"""

from collections.abc import Callable, Iterator
from functools import partial

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from api.services.extraction import UnreadableFile
from api.services.extraction.extracted import Extracted, refuse_beyond, refuse_blank
from api.services.extraction.guess import decode_html
from api.services.extraction.markdown_writer import MarkdownWriter

_Action = Callable[[], None]

_SKIPPED = frozenset(
    {
        *("audio", "button", "canvas", "datalist", "dialog", "footer", "head", "iframe", "input", "nav"),
        *("noscript", "object", "script", "select", "style", "svg", "template", "textarea", "video"),
    }
)
_BLOCKS = frozenset(
    {
        *("address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div"),
        *("dl", "dt", "fieldset", "figcaption", "figure", "form", "header", "hgroup", "hr", "html", "legend"),
        *("main", "p", "search", "section", "summary", "tbody", "tfoot", "thead"),
    }
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_LISTS = frozenset({"ul", "ol", "menu"})
_CELLS = frozenset({"td", "th"})
# What no table of data holds: a table around these lays out a page.
_LAYOUT = "table, h1, h2, h3, h4, h5, h6, article, section, form, pre"
_DEEPEST_DATA_TABLE = 4
_MAIN_SHARE = 0.25


def extract_html(data: bytes, charset: str | None, *, max_characters: int) -> Extracted:
    """The readable part of a page; its title is the ``<title>``, else the first ``<h1>``.

    Raises:
        UnreadableFile: without text, or too long.
    """
    page = read_page(data, charset, max_characters=max_characters)
    refuse_blank(page.text)
    return page


def read_page(data: bytes, charset: str | None, *, max_characters: int) -> Extracted:
    """As ``extract_html``, but the page may be empty.

    Raises:
        UnreadableFile: too long.
    """
    try:
        parsed = LexborHTMLParser(decode_html(data, charset))
    except SelectolaxError as error:  # it has no memory left
        raise UnreadableFile("too_large", "is too large a page to read: split it") from error
    walk = _Walk(max_characters)
    if (root := _content(parsed)) is not None:
        walk.over(root)
    return Extracted(walk.writer.text(), _title(parsed))


def _content(parsed: LexborHTMLParser) -> LexborNode | None:
    """``<main>``, if the page has a single one that holds its fair share of the text; else everything."""
    found = parsed.css("main")
    if len(found) == 1 and parsed.body is not None:
        share = len(found[0].text().split()) / (len(parsed.body.text().split()) or 1)
        if share >= _MAIN_SHARE:
            return found[0]
    return parsed.root


def _title(parsed: LexborHTMLParser) -> str | None:
    for selector in ("head > title", "h1"):
        node = parsed.css_first(selector)
        if node is not None and (title := " ".join(node.text().split())):
            return title
    return None


class _Walk:
    """Tells the writer what opens and closes."""

    def __init__(self, max_characters: int) -> None:
        self.writer = writer = MarkdownWriter()
        self._max_characters = max_characters
        self._data_tables: list[bool] = []  # for every open table, outermost first
        self._openers: dict[str, _Action] = {
            **dict.fromkeys(_BLOCKS | _CELLS | {"tr"}, writer.end_block),
            **{tag: partial(writer.open_heading, level) for tag, level in _HEADINGS.items()},
            **dict.fromkeys(_LISTS, writer.open_list),
            "li": writer.open_item,
            "pre": writer.open_code,
            "br": writer.break_line,
        }
        self._closers: dict[str, _Action] = {
            **dict.fromkeys((*_BLOCKS, *_CELLS, *_HEADINGS, "tr", "li"), writer.end_block),
            **dict.fromkeys(_LISTS, writer.close_list),
            "pre": writer.close_code,
            "table": self._close_table,
        }
        self._data_openers: dict[str, _Action] = {
            "tr": writer.open_row,
            **dict.fromkeys(_CELLS, writer.open_cell),
        }
        self._data_closers: dict[str, _Action] = {
            "tr": writer.close_row,
            **dict.fromkeys(_CELLS, writer.close_cell),
        }

    def over(self, root: LexborNode) -> None:
        for node, opens in _events(root):
            if node.tag == "-text":
                self._write_text(node, opens)
            elif opens and node.tag == "table":
                self._open_table(node)
            else:
                self._tell(node.tag or "", opens)

    def _write_text(self, node: LexborNode, opens: bool) -> None:
        if opens:
            self.writer.add_text(node.text_content or "")
            refuse_beyond(self.writer.characters, self._max_characters)

    def _tell(self, tag: str, opens: bool) -> None:
        general, in_data = (
            (self._openers, self._data_openers) if opens else (self._closers, self._data_closers)
        )
        action = (in_data.get(tag) if self._in_data_table else None) or general.get(tag)
        if action is not None:
            action()

    @property
    def _in_data_table(self) -> bool:
        return bool(self._data_tables) and self._data_tables[-1]

    def _open_table(self, node: LexborNode) -> None:
        """Looks into a table only near the surface: doing so at every depth would be quadratic."""
        shallow = len(self._data_tables) < _DEEPEST_DATA_TABLE
        is_data = shallow and not any(inner.mem_id != node.mem_id for inner in node.css(_LAYOUT))
        self._data_tables.append(is_data)
        self.writer.open_table()

    def _close_table(self) -> None:
        self._data_tables.pop()
        self.writer.close_table()


def _events(root: LexborNode) -> Iterator[tuple[LexborNode, bool]]:
    """Every node that is not skipped, in document order: (node, True) where it opens, (node, False) where
    it closes.
    """
    node = root
    while True:
        if node.tag not in _SKIPPED:
            yield node, True
            if (child := node.child) is not None:
                node = child
                continue
            yield node, False
        # Nodes are told apart by identity: == compares their HTML, the whole page at its root.
        while node.mem_id != root.mem_id and node.next is None:
            node = _parent(node)
            yield node, False
        if node.mem_id == root.mem_id:
            return
        node = _next(node)


def _parent(node: LexborNode) -> LexborNode:
    assert node.parent is not None, "only the root has none, and the walk stops there"
    return node.parent


def _next(node: LexborNode) -> LexborNode:
    assert node.next is not None, "the walk climbs where there is none"
    return node.next
