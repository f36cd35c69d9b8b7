"""Memory as the system gives and takes it, past malloc, which keeps much of what was freed for itself."""

import ctypes
import mmap


def anonymous_memory(size_bytes: int) -> mmap.mmap:
    """Memory that goes back to the system when nobody has it any more."""
    return mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def give_back() -> None:
    """Have malloc give the system what it keeps of what was freed; blocks for milliseconds."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # not on musl or macOS
        trim(0)
