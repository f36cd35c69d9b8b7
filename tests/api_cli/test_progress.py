"""How ingestion is shown: a bar on a terminal, lines elsewhere."""

import io

import pytest
from rich.console import Console

from api.cli.ingestion import Tally
from api.cli.progress import Bar, Lines, display


def shown(*, terminal: bool, documents: int, steps: list[Tally]) -> str:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=120, color_system=None)
    with display(console, documents, 100) as progress:
        for step in steps:
            progress.show(step)
    return screen.getvalue()


@pytest.mark.parametrize(("terminal", "kind"), [(True, Bar), (False, Lines)])
def test_a_person_gets_a_bar_and_a_log_gets_lines(terminal: bool, kind: type) -> None:
    assert isinstance(display(Console(file=io.StringIO(), force_terminal=terminal), 1, 1), kind)


def test_a_bar_shows_documents_passages_and_the_time_left() -> None:
    text = shown(terminal=True, documents=4, steps=[Tally(documents=4, passages=9, size_bytes=100)])
    assert "4 of 4 documents 9 passages" in text
    assert "/s" in text
    assert "0:00:00" in text


def test_lines_are_rare_until_the_last_document() -> None:
    steps = [Tally(documents=number) for number in range(1, 5)]
    text = shown(terminal=False, documents=4, steps=steps)
    assert text.startswith("4 of 4 documents, 0 passages, 0/s")
    assert len(text.splitlines()) == 1
