"""Child modules that the tests start by name lie in ``children/``."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def children_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "children"))
