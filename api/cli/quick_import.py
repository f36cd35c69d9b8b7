"""Imports a module without what makes that slow: a second of every start of the service is its imports."""

import importlib
import sys
from types import ModuleType

from embedd.collector import without_collector


def quick_import(name: str, without: str | None = None) -> ModuleType:
    """The module ``name``, with all that it imports, without the garbage collector.

    Whoever imports the package ``without`` is told that it is not installed, unless it was imported before.
    """
    if name in sys.modules:
        return importlib.import_module(name)
    hidden = without if without not in sys.modules else None
    with without_collector():
        if hidden is not None:
            sys.modules[hidden] = None  # type: ignore[assignment] # how Python marks what cannot be imported
        try:
            return importlib.import_module(name)
        finally:
            if hidden is not None:
                del sys.modules[hidden]
