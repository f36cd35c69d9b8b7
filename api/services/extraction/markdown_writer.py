"""Puts Markdown together from a stream of text and borders.

Text is collapsed to single blanks except in code. Between blocks stands a blank line, between the items of a
list and the rows of a table a line break.
"""

import re
from typing import Literal

_Kind = Literal["prose", "item", "row", "code", "heading"]
_BACKTICKS = re.compile(r"`{3,}")


class MarkdownWriter:
    """Blocks end when the next one begins; ending one twice changes nothing."""

    def __init__(self) -> None:
        self.characters = 0
        self._done: list[str] = []
        self._last: _Kind | None = None
        self._kind: _Kind = "prose"
        self._prefix = ""
        self._lines: list[list[str]] = [[]]
        self._cells: list[str] | None = None
        self._rows = 0  # of the open table
        self._lists = 0  # that are open
        self._in_code = False

    def text(self) -> str:
        self.end_block()
        return "".join(self._done)

    def add_text(self, text: str) -> None:
        self._lines[-1].append(text)
        self.characters += len(text)

    def break_line(self) -> None:
        if self._in_code:
            self.add_text("\n")
        else:
            self._lines.append([])

    def end_block(self) -> None:
        """Writes what is open; inside a table cell or code a block is no more than a blank."""
        if self._in_code:
            return
        if self._cells is not None:
            self._lines[-1].append(" ")
            return
        text = self._take_text()
        if text:
            one_line = text.replace("\n", " ") if self._kind == "heading" else text
            self._write(self._kind, self._prefix + one_line)
        if self._kind != "item" or not self._lists:
            self._kind, self._prefix = "prose", ""
        elif text:  # what follows in the same item belongs to it
            self._prefix = " " * len(self._prefix)

    def open_heading(self, level: int) -> None:
        self.end_block()
        if self._cells is None and not self._in_code:
            self._kind, self._prefix = "heading", "#" * level + " "

    def open_list(self) -> None:
        self.end_block()
        self._lists += 1

    def close_list(self) -> None:
        self.end_block()
        self._lists -= 1
        if not self._lists:
            self._kind, self._prefix = "prose", ""

    def open_item(self) -> None:
        self.end_block()
        if self._cells is None and not self._in_code:
            self._kind, self._prefix = "item", "  " * (max(1, min(self._lists, 8)) - 1) + "- "

    def open_code(self) -> None:
        self.end_block()
        self._in_code = self._cells is None

    def close_code(self) -> None:
        if not self._in_code:
            return
        self._in_code = False
        code = "".join(part for line in self._lines for part in line).strip("\n").rstrip()
        self._lines = [[]]
        if code:
            longest = max((len(run) for run in _BACKTICKS.findall(code)), default=2)
            fence = "`" * (longest + 1)
            self._write("code", f"{fence}\n{code}\n{fence}")

    def open_table(self) -> None:
        self.end_block()
        self._rows = 0

    def close_table(self) -> None:
        self.close_row()
        self._rows = 0

    def open_row(self) -> None:
        self.close_row()
        self.end_block()
        self._cells = []

    def open_cell(self) -> None:
        if self._cells is None:
            self.open_row()
        self._lines = [[]]  # between cells there are but blanks

    def close_cell(self) -> None:
        if self._cells is not None:
            self._cells.append(self._take_text().replace("\n", " ").replace("|", r"\|"))

    def close_row(self) -> None:
        """A row of empty cells is left out; below the first one stands the line that makes it a table."""
        if self._cells is None:
            self.end_block()
            return
        cells, self._cells = self._cells, None
        self._lines = [[]]
        if not any(cells):
            return
        self._write("row", f"| {' | '.join(cells)} |")
        self._rows += 1
        if self._rows == 1:
            self._write("row", "|" + " --- |" * len(cells))

    def _take_text(self) -> str:
        lines = (" ".join("".join(parts).split()) for parts in self._lines)
        text = "\n".join(line for line in lines if line)
        self._lines = [[]]
        return text

    def _write(self, kind: _Kind, text: str) -> None:
        if self._last is not None:
            self._done.append("\n" if kind == self._last and kind in ("item", "row") else "\n\n")
        self._done.append(text)
        self._last = kind
