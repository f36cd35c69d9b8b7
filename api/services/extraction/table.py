"""Rows of a table in Markdown."""

from collections.abc import Sequence


def table_row(cells: Sequence[str], *, is_first: bool) -> str:
    """A row; below the first one stands the line that makes it a table."""
    row = f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"
    return f"{row}\n|{' --- |' * len(cells)}" if is_first else row
