"""Drafts of an answer from what stands in its prompt: what followed the last tokens where they stood before.

The method is prompt lookup decoding (https://github.com/apoorvumang/prompt-lookup-decoding), by the longest
match. Earlier places of the last tokens are found as LZ77 compressors find theirs: by a table of the last
place of every pair, each place linked to the one before.
"""

from collections.abc import Sequence

_SHORTEST = 2
_LONGEST = 32
"""Matches that are longer are as good."""
_PLACES = 64
"""How many earlier places are compared, the latest first: in repetitive text there are too many."""


class Lookup:
    """The index of one growing sequence of tokens."""

    def __init__(self) -> None:
        self._latest: dict[tuple[int, int], int] = {}
        self._earlier: list[int] = [-1]

    def draft(self, tokens: Sequence[int], most: int) -> Sequence[int]:
        """Up to ``most`` tokens that followed the longest earlier match of the end of ``tokens``."""
        self._index(tokens)
        place, best, length = self._earlier[-1] if len(tokens) >= _SHORTEST else -1, -1, 0
        for _ in range(_PLACES):
            if place < 0 or length == _LONGEST:
                break
            matched = _common(tokens, place)
            if matched > length:
                best, length = place, matched
            place = self._earlier[place]
        return [] if best < 0 else tokens[best + 1 : best + 1 + most]

    def _index(self, tokens: Sequence[int]) -> None:
        """Takes up what has come since; a place is where a pair ends."""
        for place in range(len(self._earlier), len(tokens)):
            pair = (tokens[place - 1], tokens[place])
            self._earlier.append(self._latest.get(pair, -1))
            self._latest[pair] = place


def _common(tokens: Sequence[int], place: int) -> int:
    """How many tokens that end at ``place`` are those at the end of all."""
    length, last = _SHORTEST, len(tokens) - 1
    while length < min(_LONGEST, place + 1) and tokens[place - length] == tokens[last - length]:
        length += 1
    return length
