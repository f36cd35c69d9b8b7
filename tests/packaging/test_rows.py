"""docs/ROWS.md names what is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ROWS.md").read_text("utf-8")


def test_every_path_that_is_named_is_there() -> None:
    paths = re.findall(r"`((?:api|bench|deploy|embedd|index|tests)/[\w/.]+)`", PAGE)
    assert len(paths) > 50
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_test_that_is_named_is_there() -> None:
    named = re.findall(r"`(tests/[\w/.]+\.py)`: `(test_\w+)`", PAGE)
    assert len(named) > 5
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text("utf-8"), test
