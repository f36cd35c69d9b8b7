"""What an answer rests on: retrieved, each text once, judged as evidence, and no more than is read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from api.services.counting import TokenCounter
from api.services.evidence import EvidenceReader
from api.services.excerpts import Excerpt, distinct, excerpts
from api.services.retrieve import Retriever, Search
from embedd.extractive import DEFAULT_THRESHOLD, Quote
from index.rows import Hit
from index.store import Store

CHARACTERS_PER_TOKEN = 4
MOST_OF_SECTION = 2_400
"""Code points of one section: some 600 tokens."""


@dataclass(frozen=True, slots=True)
class Foundation:
    """Excerpts, best first, and the sentences in them that answer the question, best first.

    ``evidence`` (0 to 1) is how likely they do; below ``threshold`` nothing should be said.
    """

    excerpts: tuple[Excerpt, ...]
    quotes: tuple[Quote, ...]
    evidence: float
    threshold: float

    @property
    def is_enough(self) -> bool:
        """Whether there is something to answer from."""
        return self.evidence >= self.threshold

    def without_last(self) -> "Foundation":
        """With one excerpt less."""
        last = len(self.excerpts) - 1
        kept = tuple(quote for quote in self.quotes if quote.passage < last)
        return replace(self, excerpts=self.excerpts[:last], quotes=kept)


class Groundwork:
    """Lays the foundations of answers."""

    def __init__(self, retriever: Retriever, reader: EvidenceReader, counter: TokenCounter) -> None:
        self._retriever = retriever
        self._reader = reader
        self._counter = counter

    async def lay(
        self,
        store: Store,
        search: Search,
        *,
        min_evidence: float | None,
        max_quotes: int,
        max_tokens: int | None,
    ) -> Foundation:
        """For whoever writes: at most ``max_tokens`` with the sections around what was found, and evidence is
        asked for only by ``min_evidence``. Without ``max_tokens``, for whoever quotes: what was found, if the
        evidence reaches ``min_evidence`` or else the default.

        Raises:
            InvalidRequest, UnknownModel, EmbeddError, StoreError: as ``Retriever.ground`` does.
        """
        grounds = await self._retriever.ground(store, search)
        grounds = replace(grounds, hits=tuple(distinct(grounds.hits)))
        evidence = await self._reader.read(search.text or "", grounds, max_quotes)
        characters = 0 if max_tokens is None else _section_characters(max_tokens, len(grounds.hits))
        found = await excerpts(store, grounds.hits, section_characters=characters)
        if max_tokens is not None:
            found = found[: await self._counter.fitting([one.text for one in found], max_tokens)]
        default = DEFAULT_THRESHOLD if max_tokens is None else 0.0
        return Foundation(
            tuple(found),
            tuple(_within(found, evidence.quotes, grounds.hits)),
            evidence.probability,
            default if min_evidence is None else min_evidence,
        )


def _section_characters(max_tokens: int, hits: int) -> int:
    return min(MOST_OF_SECTION, CHARACTERS_PER_TOKEN * max_tokens // max(1, hits))


def _within(found: Sequence[Excerpt], quotes: Sequence[Quote], hits: Sequence[Hit]) -> list[Quote]:
    """The quotes of ``hits`` as those of the excerpts that these stand in; some have none any more."""
    placed = []
    for quote in quotes:
        hit = hits[quote.passage]
        at = next((number for number, one in enumerate(found) if one.has(hit)), None)
        if at is not None:
            moved = hit.start - found[at].start
            placed.append(replace(quote, passage=at, start=quote.start + moved, end=quote.end + moved))
    return placed
