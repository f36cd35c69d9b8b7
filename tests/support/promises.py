"""What a service has promised its clients, and whether what it holds agrees.

Every write has a revision number that never comes back; the content of an id at a revision follows from the
two, so that whoever reads it knows which write it was and whether it is whole. Knows no HTTP.

Invariant: two requests that wait for their answers never have an id in common.
"""

import base64
import hashlib
import itertools
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

DIM = 8

Revisions = dict[str, int | None]
"""The revision of each id; None for one that is not there."""


@dataclass(slots=True)
class Ledger:
    """What has been acknowledged, and which requests wait for their answers."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    answers: int = 0
    _waiting: list[Revisions] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def next_revision(self) -> int:
        return next(self._numbers)

    @contextmanager
    def request(self, changes: Revisions) -> Iterator[None]:
        """A request that makes all of ``changes``; acknowledged if the block ends without an error."""
        self._waiting.append(changes)
        self.touched |= changes.keys()
        yield
        self._waiting = [other for other in self._waiting if other is not changes]
        self._accept(changes)
        self.answers += 1

    def settle(self, found: Mapping[str, int]) -> None:
        """Hold ``found``, all there is, to what was promised; what was open is decided by it."""
        for changes in self._waiting:
            before = {id: self.acknowledged.get(id) for id in changes}
            now = {id: found.get(id) for id in changes}
            assert now in (before, changes), f"a request was half done: {before} became {now}, not {changes}"
            self._accept(now)
        self._waiting = []
        assert found == self.acknowledged, differences(found, self.acknowledged)

    def _accept(self, changes: Revisions) -> None:
        for id, revision in changes.items():
            if revision is None:
                self.acknowledged.pop(id, None)
            else:
                self.acknowledged[id] = revision


def differences(found: Mapping[str, int], promised: Mapping[str, int]) -> str:
    """In words, for the one who reads the failure."""
    lost = sorted(promised.keys() - found.keys())
    extra = sorted(found.keys() - promised.keys())
    other = {
        id: (found[id], promised[id]) for id in found.keys() & promised.keys() if found[id] != promised[id]
    }
    return f"lost: {lost}, not acknowledged or deleted: {extra}, other revision (found, promised): {other}"


def marker_of(id: str, revision: int) -> str:
    """One word that stands in every sentence of this document at this revision, and nowhere else."""
    return f"{id.replace('-', 'q')}q{revision}"


def revision_in(text: str) -> int:
    """The one revision whose sentences ``text`` is made of."""
    revisions = {word.rstrip(".").rpartition("q")[2] for word in text.split() if "q" in word}
    assert len(revisions) == 1, f"sentences of several revisions in one passage: {text}"
    return int(revisions.pop())


def text_of(id: str, revision: int) -> str:
    """One to five passages of the fake model, each sentence with the marker."""
    marker = marker_of(id, revision)
    count = 1 + zlib.crc32(marker.encode()) % 60
    return " ".join(f"{marker} says {_words(f'{marker} {number}')}." for number in range(count))


def vector_of(id: str, revision: int) -> np.ndarray:
    """Eight numbers, float32, which no other point has."""
    seed = int.from_bytes(hashlib.blake2b(f"{id} {revision}".encode(), digest_size=16).digest())
    return np.random.default_rng(seed).standard_normal(DIM).astype("<f4")


def base64_of(id: str, revision: int) -> str:
    """The vector as it is sent."""
    return base64.b64encode(vector_of(id, revision).tobytes()).decode()


def point_of(id: str, revision: int) -> dict[str, str]:
    """A point as it is sent."""
    return {"id": id, "vector": base64_of(id, revision), "text": marker_of(id, revision)}


def _words(seed: str) -> str:
    """Twelve, without a q."""
    digest = hashlib.blake2b(seed.encode(), digest_size=36).hexdigest()
    return " ".join(digest[first : first + 6] for first in range(0, 72, 6))
