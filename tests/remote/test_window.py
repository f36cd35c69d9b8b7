"""How many batches a server gets at once follows from how long it takes for them."""

from embedd.remote.window import Window


def settled(*, serial_s: float, parallel: int = 1) -> int:
    """The size after many batches to a server that runs ``parallel`` at once, in ``serial_s`` each."""
    window = Window()
    for _ in range(500):
        waits = max(0, window.size - parallel)
        window.add(1000, serial_s * (1 + waits / parallel), full=True)
    return window.size


def test_a_server_that_runs_one_at_a_time_gets_a_few() -> None:
    assert 2 <= settled(serial_s=0.1) <= 8


def test_a_server_that_runs_many_gets_many_and_there_is_an_end() -> None:
    assert settled(serial_s=0.1, parallel=8) >= 8
    assert settled(serial_s=0.1, parallel=1000) == 16


def test_what_was_not_needed_is_not_given() -> None:
    window = Window()
    for _ in range(50):
        window.add(10, 0.1, full=False)
    assert window.size == 2


def test_batches_of_different_sizes_are_not_compared() -> None:
    window = Window()
    for _ in range(50):
        window.add(10, 0.01, full=True)
        window.add(10_000, 1.0, full=True)
    assert window.size == 16


def test_a_server_that_refuses_gets_half_but_never_nothing() -> None:
    window = Window()
    for _ in range(5):
        window.halve()
    assert window.size == 1
    window.add(10, 0.1, full=True)
    assert window.size == 2
