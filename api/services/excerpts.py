"""What a search found becomes what a generator reads: each text once, neighbours together, with their section
where it helps, and no more of it than fits.

Small passages are found best and larger ones are read best, so a passage may bring the section around it.

Invariant: an excerpt is a stretch of its document, word for word. Where the document has changed since it was
searched, or is gone, what was found is all there is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from api.services.sections import section_around
from index.rows import Hit
from index.store import Store
from index.together import together


@dataclass(frozen=True, slots=True)
class Excerpt:
    """``text`` begins at the code point ``start`` of a document; ``hit`` is the best passage in it."""

    hit: Hit
    text: str
    start: int

    @property
    def end(self) -> int:
        """Where it ends in the document."""
        return self.start + len(self.text)

    def has(self, hit: Hit) -> bool:
        """Whether all of ``hit`` stands in it."""
        same = self.hit.document_id == hit.document_id
        return same and self.start <= hit.start and hit.end <= self.end


def distinct(hits: Sequence[Hit]) -> list[Hit]:
    """The hits that have a text, each text only where it comes first."""
    first: dict[str, Hit] = {}
    for hit in hits:
        if words := (hit.text or "").split():
            first.setdefault(" ".join(words), hit)
    return list(first.values())


async def excerpts(store: Store, hits: Sequence[Hit], *, section_characters: int) -> list[Excerpt]:
    """One for each run of neighbours among ``hits`` (best first), in the order of the best in each.

    Those shorter than ``section_characters`` are widened up to that, as far as their section goes.
    """
    documents = [hit.document_id for hit in hits]
    wanted = {one for one in documents if section_characters or documents.count(one) > 1}
    found = await together(store.document(one, with_text=True) for one in sorted(wanted))
    texts = {document.id: document.text for document in found if document and document.text is not None}
    return _merged([_widened(hit, texts, section_characters) for hit in hits], texts)


def _widened(hit: Hit, texts: Mapping[str, str], most: int) -> Excerpt:
    alone = Excerpt(hit, hit.text or "", hit.start)
    document = texts.get(hit.document_id, "")
    if document[hit.start : hit.end] != hit.text:
        return alone
    start, end = section_around(document, hit.start, hit.end, most)
    return Excerpt(hit, document[start:end], start)


def _merged(found: Sequence[Excerpt], texts: Mapping[str, str]) -> list[Excerpt]:
    """Those that touch become one, which is where the best of them was."""
    rank = {id(one.hit): place for place, one in enumerate(found)}
    merged: list[Excerpt] = []
    for one in sorted(found, key=lambda one: (one.hit.document_id, one.start)):
        both = _joined(merged[-1], one, texts) if merged else None
        if both is None:
            merged.append(one)
        else:
            best = min(merged[-1].hit, one.hit, key=lambda hit: rank[id(hit)])
            merged[-1] = replace(both, hit=best)
    return sorted(merged, key=lambda one: rank[id(one.hit)])


def _joined(one: Excerpt, other: Excerpt, texts: Mapping[str, str]) -> Excerpt | None:
    """Both, if there is nothing but blanks between them and the document still says what they say."""
    document = texts.get(one.hit.document_id, "")
    is_same = one.hit.document_id == other.hit.document_id
    if not is_same or document[one.end : max(one.end, other.start)].strip():
        return None
    if any(document[part.start : part.end] != part.text for part in (one, other)):
        return None
    return Excerpt(one.hit, document[one.start : max(one.end, other.end)], one.start)
