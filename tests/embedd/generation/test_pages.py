"""Who holds which page, and what pages are remembered for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedd.worker.generation.pages import ROOT, PagePool

SIZE = 4
FIRST, SECOND = [1, 2, 3, 4], [5, 6, 7, 8]


def fill(pool: PagePool, tokens: list[int]) -> list[int]:
    """Pages that hold ``tokens``, published as far as they are full."""
    pages = pool.take(-(-len(tokens) // SIZE))
    assert pages is not None
    content = ROOT
    for number in range(len(tokens) // SIZE):
        content = pool.publish(pages[number], content, tokens[number * SIZE : (number + 1) * SIZE])
    return pages


def test_full_pages_are_found_by_what_they_hold() -> None:
    pool = PagePool(8, SIZE)
    pages = fill(pool, [*FIRST, *SECOND, 9])
    assert pool.match([*FIRST, *SECOND, 10, 11])[0] == pages[:2]
    assert pool.match([*FIRST, 0, *SECOND])[0] == pages[:1]
    assert pool.match([0, *FIRST, *SECOND])[0] == []


def test_one_token_is_always_left_to_compute() -> None:
    pool = PagePool(8, SIZE)
    pages = fill(pool, [*FIRST, *SECOND])
    assert pool.match([*FIRST, *SECOND])[0] == pages[:1]


def test_a_page_counts_only_behind_the_page_it_followed() -> None:
    pool = PagePool(8, SIZE)
    fill(pool, [*FIRST, *SECOND])
    assert pool.match([*SECOND, *SECOND, 1])[0] == []


def test_shared_pages_stay_until_the_last_holder_lets_go() -> None:
    pool = PagePool(3, SIZE)
    pages = fill(pool, [*FIRST, *SECOND])
    pool.hold(pages)
    pool.give_back(pages)
    assert pool.take(2) is None
    pool.check([pages])
    pool.give_back(pages)
    assert pool.available == 3


def test_what_was_let_go_first_is_forgotten_first_and_the_end_before_the_beginning() -> None:
    pool = PagePool(4, SIZE)
    old, new = fill(pool, [*FIRST, *SECOND]), fill(pool, [*SECOND, *FIRST])
    pool.give_back(old)
    pool.give_back(new)
    assert pool.take(1) == [old[1]]
    assert pool.match([*FIRST, 0])[0] == old[:1]
    assert pool.take(1) == [old[0]]
    assert pool.match([*SECOND, *FIRST, 0])[0] == new


def test_free_pages_are_taken_before_remembered_ones() -> None:
    pool = PagePool(2, SIZE)
    pages = fill(pool, FIRST)
    pool.give_back(pages)
    assert pool.take(1) != pages
    assert pool.match([*FIRST, 0])[0] == pages


def test_the_same_content_twice_is_remembered_once() -> None:
    pool = PagePool(4, SIZE)
    first, second = fill(pool, FIRST), fill(pool, FIRST)
    assert pool.match([*FIRST, 0])[0] == first
    pool.give_back(second)
    assert pool.cached == 0


def test_a_page_filled_anew_is_not_taken_for_what_it_was() -> None:
    pool = PagePool(2, SIZE)
    pool.give_back(fill(pool, [*FIRST, *SECOND]))
    other = fill(pool, [0] * SIZE * 2)
    assert pool.match([*FIRST, *SECOND, 0])[0] == []
    pool.check([other])


def test_more_pages_than_there_are_cannot_be_had() -> None:
    pool = PagePool(2, SIZE)
    assert pool.take(3) is None
    assert pool.available == 2


def test_a_leak_is_seen() -> None:
    pool = PagePool(2, SIZE)
    pool.take(1)
    with pytest.raises(AssertionError):
        pool.check([])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 14)), max_size=40))
def test_pages_are_never_lost_whatever_comes_and_goes(moves: list[tuple[int, int]]) -> None:
    pool, holders = PagePool(9, SIZE), list[list[int]]()
    for kind, length in moves:
        if kind == 0 and holders:
            pool.give_back(holders.pop(length % len(holders)))
        else:
            tokens = [kind] * length
            shared, content = pool.match(tokens)
            pool.hold(shared)
            more = pool.take(-(-length // SIZE) - len(shared))
            if more is None:
                pool.give_back(shared)
                continue
            for number, page in enumerate(more[: length // SIZE - len(shared)], len(shared)):
                content = pool.publish(page, content, tokens[number * SIZE : (number + 1) * SIZE])
            holders.append([*shared, *more])
        pool.check(holders)
