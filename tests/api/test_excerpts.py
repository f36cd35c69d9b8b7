"""What was found becomes excerpts of documents: each text once, neighbours together, nothing invented."""

from asking import Ask
from msgspec.structs import replace

from api.services.container import Services
from api.services.excerpts import distinct, excerpts
from index.rows import Hit
from index.store import Store

TEXT = "One is a number.\n\nTwo is a number.\n\nThree is a number."


def hit(start: int, end: int, document: str = "numbers", text: str = TEXT) -> Hit:
    return Hit(f"{document}#{start}", document, 1.0, text[start:end], "", {}, start, end, None, "", {})


ONE, TWO, THREE = hit(0, 16), hit(18, 34), hit(36, 54)


async def numbers(ask: Ask, services: Services) -> Store:
    await ask("PUT", "/v1/collections/all", {}, status=201)
    body = {"documents": [{"id": "numbers", "text": TEXT}]}
    await ask("POST", "/v1/collections/all/documents?wait=true", body)
    return await services.catalog.get("all")


def test_a_text_is_kept_where_it_comes_first() -> None:
    again = hit(0, 18, "other", "One  is a\nnumber. ")
    assert distinct([TWO, again, ONE, hit(16, 18)]) == [TWO, again]


async def test_neighbours_become_one_in_the_place_of_the_best(ask: Ask, services: Services) -> None:
    store = await numbers(ask, services)
    found = await excerpts(store, [THREE, ONE, TWO], section_characters=0)
    assert [(one.hit, one.text, one.start, one.end) for one in found] == [(THREE, TEXT, 0, 54)]
    apart = await excerpts(store, [THREE, ONE], section_characters=0)
    assert [(one.hit, one.text) for one in apart] == [
        (THREE, "Three is a number."),
        (ONE, "One is a number."),
    ]


async def test_a_document_that_changed_or_is_gone_leaves_what_was_found(ask: Ask, services: Services) -> None:
    store = await numbers(ask, services)
    lost = replace(hit(0, 5, "lost", "Gone."), text="Gone.")
    changed = replace(ONE, text="Old words, here.")
    found = await excerpts(store, [changed, TWO, lost], section_characters=1000)
    assert [one.text for one in found] == ["Old words, here.", TEXT, "Gone."]


async def test_sections_that_meet_become_one(ask: Ask, services: Services) -> None:
    store = await numbers(ask, services)
    (whole,) = await excerpts(store, [THREE, ONE], section_characters=1000)
    assert whole.text == TEXT
    assert whole.has(ONE)
    assert not whole.has(hit(0, 4, "other"))
