"""Keeps the cyclic garbage collector away from what comes to stay."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collector() -> Iterator[None]:
    """Imports and loads without the collector, which would walk new and lasting objects again and again: a
    seventh of the time. What is there afterwards is never looked at again.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
