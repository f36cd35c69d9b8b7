"""Imports without the collector, and without a package that is not wanted."""

import gc
import sys
from pathlib import Path

import pytest

from api.cli.quick_import import quick_import

MODULE = """
import gc

collects = gc.isenabled()
try:
    import unwanted
except ImportError:
    unwanted = None
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``importing`` and what it imports, ``unwanted``; both unknown again afterwards."""
    (tmp_path / "importing.py").write_text(MODULE)
    (tmp_path / "unwanted.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("importing", "unwanted"):
        monkeypatch.setitem(sys.modules, name, None)
        del sys.modules[name]


@pytest.mark.usefixtures("modules")
def test_the_collector_waits_until_everything_is_imported() -> None:
    assert quick_import("importing").collects is False
    assert gc.isenabled()


@pytest.mark.usefixtures("modules")
def test_a_package_is_hidden_only_from_what_is_imported() -> None:
    assert quick_import("importing", without="unwanted").unwanted is None
    assert quick_import("unwanted").__name__ == "unwanted"


@pytest.mark.usefixtures("modules")
def test_a_package_that_is_in_use_is_not_hidden() -> None:
    used = quick_import("unwanted")
    assert quick_import("importing", without="unwanted").unwanted is used


def test_the_collector_goes_on_where_nothing_can_be_imported() -> None:
    with pytest.raises(ModuleNotFoundError):
        quick_import("there_is_no_such_module", without="nor_such_a_package")
    assert gc.isenabled()
    assert "nor_such_a_package" not in sys.modules
