"""What malloc keeps goes back."""

import ctypes
from pathlib import Path

import pytest

from index.system_memory import anonymous_memory, give_back

KIB = 1024
FREED = 64 * KIB * KIB


def resident_bytes() -> int:
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * KIB


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc's malloc")
def test_what_was_freed_between_what_is_in_use_goes_back_to_the_system() -> None:
    pieces = [b"x" * (64 * KIB) for _ in range(FREED // (64 * KIB))]
    kept = pieces[::16]
    del pieces
    before = resident_bytes()
    give_back()
    assert before - resident_bytes() > FREED // 2
    assert set(map(len, kept)) == {64 * KIB}


def test_anonymous_memory_is_empty_and_ones_own() -> None:
    memory = anonymous_memory(10_000)
    assert memory[:] == bytes(10_000)
    memory[9_999] = 1
    assert (len(memory), memory[9_999]) == (10_000, 1)
