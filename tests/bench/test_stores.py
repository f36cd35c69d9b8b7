"""What of the bench of stores can be held to what is known: its search by brute force, and its goals."""

import numpy as np

import stores
from harness.store_searches import nearest


def test_the_nearest_rows_are_those_of_numpy() -> None:
    rows = np.eye(12, dtype=np.float32)
    assert nearest(rows, rows[3:4])[0][0] == 3
    assert len(nearest(rows, rows[3:4])[0]) == 10


def test_goals_are_held_to_what_was_measured_and_to_nothing_else() -> None:
    found = {"lost": 1, "doubled": 0, "acknowledged_again_s": 3.0}
    rates = {"rows_per_s": 90.0, "compared_rows_per_s": 1.0, "bare_rows_per_s": 100.0}
    figures = {"failover": found, "copy": dict.fromkeys((stores.PGVECTOR, stores.MILVUS), rates)}
    met = {goal.name: goal.is_met for goal in stores.goals_of(figures)}
    assert met == {
        "copied to pgvector": False,
        "copied to Milvus, of the bare client's": True,
        "failover": True,
        "failover: lost": False,
        "failover: doubled": True,
    }
