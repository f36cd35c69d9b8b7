"""Imports a module without what makes that slow: a second of every start of the service is its imports."""

import gc
import importlib
import sys
from types import ModuleType


def quick_import(name: str, without: str | None = None) -> ModuleType:
    """The module ``name``, with all that it imports.

    The cyclic garbage collector waits, which would walk lasting objects again and again (a seventh of the
    time), and never looks at them afterwards. Whoever imports the package ``without`` is told that it is not
    installed, unless it was imported before.
    """
    if name in sys.modules:
        return importlib.import_module(name)
    hidden = without is not None and without not in sys.modules
    gc.disable()
    try:
        if without is not None and hidden:
            sys.modules[without] = None  # type: ignore[assignment] # how Python marks what cannot be imported
        return importlib.import_module(name)
    finally:
        if without is not None and hidden:
            del sys.modules[without]
        gc.freeze()
        gc.enable()
