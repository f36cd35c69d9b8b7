"""Spoiled files: the same from the same seed, and in archives with whole check sums."""

import io
import zipfile
from random import Random

from harness.mutations import MUTATIONS, mutate, spoil_member

ARCHIVE = io.BytesIO()
with zipfile.ZipFile(ARCHIVE, "w") as _archive:
    _archive.writestr("part.xml", "<part>some text that is long enough to be spoiled</part>")


def test_the_same_seed_spoils_in_the_same_way() -> None:
    data = bytes(range(256)) * 20
    assert [mutate(data, Random(seed)) for seed in range(9)] == [
        mutate(data, Random(seed)) for seed in range(9)
    ]


def test_every_way_to_spoil_a_file_changes_it_and_takes_a_single_byte_too() -> None:
    data = bytes(range(1, 256)) * 20
    for mutation in MUTATIONS:
        assert mutation(data, Random(1)) != data
        mutation(b"x", Random(1))


def test_a_spoiled_part_is_packed_whole_again() -> None:
    for seed in range(20):
        with zipfile.ZipFile(io.BytesIO(spoil_member(ARCHIVE.getvalue(), Random(seed)))) as archive:
            assert archive.testzip() is None
