"""What the tests of embedd share. Child modules that they start by name lie in ``children/``."""

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def children_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "children"), prepend=os.pathsep)


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Lets a test serve inside its own process: set where a child would have ended with its peer."""
    gone = threading.Event()
    sockets = []

    def note_exit(_: int) -> None:
        sockets.append(sys._getframe(1).f_locals["sock"])
        gone.set()

    monkeypatch.setattr("embedd.serving.os._exit", note_exit)
    yield gone
    for sock in sockets:  # in a child they close with the process
        sock.close()
