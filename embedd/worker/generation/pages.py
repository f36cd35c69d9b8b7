"""Pages of keys and values: who holds them, and which of them hold what a prompt begins with.

A full page is known by its tokens and by the page before it, so two requests that begin alike share pages.
The page before is named by a number that is given once to each content, never by a page that could be filled
anew; tokens are compared, not only their hash. A page that nobody holds keeps its content until it is needed,
the one that was let go first being taken first. Knows page numbers and tokens, no tensors.

Invariant: every page is free, reusable or held; its count is that of the requests that list it.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Sequence

ROOT = 0
"""The content before any page."""

Key = tuple[int, tuple[int, ...]]


class PagePool:
    """``count`` pages of ``size`` tokens each."""

    def __init__(self, count: int, size: int) -> None:
        self.count = count
        self.size = size
        self._free = deque(range(count))
        self._reusable: OrderedDict[int, None] = OrderedDict()
        self._held: Counter[int] = Counter()
        self._known: dict[Key, tuple[int, int]] = {}  # to page and content
        self._keys: dict[int, Key] = {}
        self._contents = ROOT

    @property
    def available(self) -> int:
        """Pages that can be had: free ones, and those that are kept for their content alone."""
        return len(self._free) + len(self._reusable)

    @property
    def cached(self) -> int:
        """Pages that are kept for their content alone."""
        return len(self._reusable)

    def match(self, tokens: Sequence[int]) -> tuple[list[int], int]:
        """The pages that hold the longest known beginning of ``tokens``, and its content; holds none of them.

        One token at least is left out: somebody has to say what comes next.
        """
        pages, content = [], ROOT
        for end in range(self.size, len(tokens), self.size):
            found = self._known.get((content, tuple(tokens[end - self.size : end])))
            if found is None:
                break
            page, content = found
            pages.append(page)
        return pages, content

    def hold(self, pages: Iterable[int]) -> None:
        """Takes part in pages that ``match`` has just given."""
        for page in pages:
            self._reusable.pop(page, None)
            self._held[page] += 1

    def take(self, count: int) -> list[int] | None:
        """So many pages for new content; None if there are not as many."""
        if count > self.available:
            return None
        taken = [self._free.popleft() if self._free else self._forget_oldest() for _ in range(count)]
        self._held.update(taken)
        return taken

    def give_back(self, pages: Sequence[int]) -> None:
        """Lets go of a request's pages, in its order: the last is the first to be taken, as nothing builds on
        it.
        """
        for page in reversed(pages):
            self._held[page] -= 1
            if self._held[page]:
                continue
            del self._held[page]
            if page in self._keys:
                self._reusable[page] = None
            else:
                self._free.append(page)

    def publish(self, page: int, before: int, tokens: Sequence[int]) -> int:
        """Makes a full page known that follows the content ``before``; returns the content it ends.

        What is known already stays where it is, and ``page`` remains nobody else's.
        """
        key = (before, tuple(tokens))
        if key not in self._known:
            self._contents += 1
            self._known[key] = page, self._contents
            self._keys[page] = key
        return self._known[key][1]

    def check(self, holders: Iterable[Sequence[int]]) -> None:
        """For tests: ``holders`` list the pages of all requests, and there is nothing else.

        Raises:
            AssertionError: a page leaked, or is counted wrong.
        """
        held = Counter(page for pages in holders for page in pages)
        assert held == self._held, f"held {dict(held)}, counted {dict(self._held)}"
        everywhere = sorted([*self._free, *self._reusable, *self._held])
        assert everywhere == list(range(self.count)), "a page is nowhere, or twice"
        assert set(self._reusable) <= set(self._keys)

    def _forget_oldest(self) -> int:
        page, _ = self._reusable.popitem(last=False)
        del self._known[self._keys.pop(page)]
        return page
