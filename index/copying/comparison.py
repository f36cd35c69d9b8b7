"""A collection and its copy held against each other, document by document, while the first is written to."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from index.codec import timestamp
from index.copying.collection import CollectionCopy
from index.copying.digests import MODULUS, digests_of
from index.copying.source import Source
from index.paging import pages

_SHOWN_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class Sum:
    """Documents, and the sum of their digests."""

    documents: int = 0
    total: int = 0

    def plus(self, seen: "_Seen | None") -> "Sum":
        """With another document, if there is one."""
        return self if seen is None else Sum(self.documents + 1, (self.total + seen.digest) % MODULUS)

    def minus(self, seen: "_Seen | None") -> "Sum":
        """Without it."""
        return self if seen is None else Sum(self.documents - 1, (self.total - seen.digest) % MODULUS)

    @property
    def checksum(self) -> str:
        """The same for the same documents."""
        return f"{self.total:064x}"[:_SHOWN_DIGITS]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it: both sums are of the documents that did not change meanwhile. ``changed`` others did;
    they were read again after they were written. ``differing`` are the ids, sorted, of the documents that are
    not the same on both sides.
    """

    source: Sum
    target: Sum
    changed: int
    differing: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        return self.source == self.target and not self.differing


@dataclass(frozen=True, slots=True)
class _Seen:
    """A document as one of the two has it."""

    id: str
    digest: int
    expires_at: str | None


_Pair: TypeAlias = tuple[_Seen | None, _Seen | None]


async def compare(copy: CollectionCopy) -> Comparison:
    """Read all of both, and bring over what changes meanwhile.

    Raises:
        CopyRefused: the source is another collection now.
    """
    await copy.catch_up()
    pairs: dict[str, _Pair] = {}
    source, target = Sum(), Sum()
    async with aclosing(_documents(copy.source)) as lefts, aclosing(_documents(copy.target)) as rights:
        async for left, right in _paired(lefts, rights):
            source, target = source.plus(left), target.plus(right)
            if left != right:
                pairs[_id_of(left, right)] = (left, right)
    changed = await copy.catch_up()
    now = timestamp()
    for id_, (left, right) in list(pairs.items()):
        if id_ in changed or _has_expired(left, now) or _has_expired(right, now):
            source, target = source.minus(left), target.minus(right)
            del pairs[id_]
    return Comparison(source, target, len(changed), tuple(sorted(pairs.keys() | copy.differing)))


async def _paired(lefts: AsyncIterator[_Seen], rights: AsyncIterator[_Seen]) -> AsyncGenerator[_Pair, None]:
    """What both, in the order of their ids, have of each id that one of them has."""
    left, right = await anext(lefts, None), await anext(rights, None)
    while left is not None or right is not None:
        id_ = min(side.id for side in (left, right) if side is not None)
        has_left, has_right = left is not None and left.id == id_, right is not None and right.id == id_
        yield left if has_left else None, right if has_right else None
        left = await anext(lefts, None) if has_left else left
        right = await anext(rights, None) if has_right else right


def _id_of(*sides: _Seen | None) -> str:
    return next(side.id for side in sides if side is not None)


def _has_expired(side: _Seen | None, now: str) -> bool:
    return side is not None and side.expires_at is not None and side.expires_at <= now


async def _documents(side: Source) -> AsyncGenerator[_Seen, None]:
    """All of them, by id; the next ones are read meanwhile."""
    async with aclosing(pages(partial(_page, side), lambda seen: seen.id)) as read:
        async for page in read:
            for seen in page:
                yield seen


async def _page(side: Source, after: str | None) -> list[_Seen]:
    copies = await side.copies(after)
    digests = await asyncio.to_thread(digests_of, copies)
    return [
        _Seen(copy.document.id, digest, copy.document.expires_at)
        for copy, digest in zip(copies, digests, strict=True)
    ]
