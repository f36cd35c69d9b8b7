"""What is embedded when documents come again, change a little, or say the same: only what is new."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from asking import Ask

from api.services import prepare
from api.services.container import Services
from index.store import Store

DOCUMENTS = "/v1/collections/notes/documents"


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of passages that were given to the model."""
    texts: list[str] = []
    embed = prepare.embed_passages

    async def remember(embedder: Any, new: Sequence[str], **more: Any) -> Any:
        texts.extend(new)
        return await embed(embedder, new, **more)

    monkeypatch.setattr(prepare, "embed_passages", remember)
    return texts


@pytest.fixture(params=[None, "2bit"])
async def notes(ask: Ask, services: Services, request: pytest.FixtureRequest) -> Store:
    await ask("PUT", "/v1/collections/notes", {"token_vectors": request.param}, status=201)
    return await services.catalog.get("notes")


async def write(ask: Ask, **texts: str) -> list[str]:
    """The status of each document."""
    documents = [
        {"id": id_, "text": text, "title": "Tides", "format": "markdown"} for id_, text in texts.items()
    ]
    answer = await ask("POST", f"{DOCUMENTS}?wait=true", {"documents": documents})
    return [document["status"] for document in answer["documents"]]


def sections(count: int) -> list[str]:
    return [f"# Part {n}\n\nThe tide of day {n} came {n} minutes late, they say." for n in range(count)]


async def test_a_changed_paragraph_of_a_long_document_is_all_that_is_embedded_again(
    ask: Ask, notes: Store, embedded: list[str]
) -> None:
    parts = sections(60)
    await write(ask, a="\n\n".join(parts))
    passages = len(embedded)
    embedded.clear()
    parts[30] = parts[30].replace("late", "early")
    assert await write(ask, a="\n\n".join(parts)) == ["ready"]
    assert 0 < len(embedded) <= max(1, 0.03 * passages)
    assert all("early" in text for text in embedded)
    assert await notes.count() == passages


async def test_reused_vectors_are_those_that_the_model_would_make(
    ask: Ask, notes: Store, services: Services
) -> None:
    text = "\n\n".join(sections(3))
    await write(ask, a=text)
    await write(ask, a=f"{text}\n\n# More\n\nAnd then nothing came at all, for a long time, at any port.")
    await ask("PUT", "/v1/collections/fresh", {"token_vectors": notes.settings.token_vectors}, status=201)
    fresh = await services.catalog.get("fresh")
    document = await notes.document("a", with_text=True)
    assert document is not None
    body = {"documents": [{"id": "a", "text": document.text, "title": "Tides", "format": "markdown"}]}
    await ask("POST", "/v1/collections/fresh/documents?wait=true", body)
    ((mine,), (theirs,)) = (await notes.copies(), await fresh.copies())
    for one, other in zip(mine.document.passages, theirs.document.passages, strict=True):
        np.testing.assert_allclose(one.vector, other.vector, atol=1e-6)
        assert (one.text, one.start, one.tokens) == (other.text, other.start, other.tokens)
        assert (one.token_vectors is None) == (other.token_vectors is None)


async def test_the_same_text_under_two_ids_is_two_documents_and_embedded_once(
    ask: Ask, notes: Store, embedded: list[str]
) -> None:
    text = "\n\n".join(sections(4))
    await write(ask, a=text, b=text)
    assert len(embedded) == len(set(embedded)) == await notes.count() / 2
    await write(ask, c=text)
    assert len(embedded) == await notes.count() / 3
    await ask("DELETE", f"{DOCUMENTS}/a")
    hits = await ask("POST", "/v1/collections/notes/search", {"query": "tide of day 2", "k": 10})
    assert {hit["document_id"] for hit in hits["hits"]} == {"b", "c"}


async def test_other_metadata_costs_no_embedding_and_another_title_all_of_it(
    ask: Ask, notes: Store, embedded: list[str]
) -> None:
    body = {"id": "a", "text": "Spring tides come at new moon.", "title": "Tides"}
    await ask("POST", f"{DOCUMENTS}?wait=true", {"documents": [body]})
    await ask("POST", f"{DOCUMENTS}?wait=true", {"documents": [body | {"metadata": {"n": 1}}]})
    assert len(embedded) == 1
    await ask("POST", f"{DOCUMENTS}?wait=true", {"documents": [body | {"title": "Moon"}]})
    assert len(embedded) == 2


async def test_a_dry_run_says_what_is_new_and_changed_and_writes_nothing(ask: Ask, notes: Store) -> None:
    await write(ask, same="Same.", other="Before.")
    documents = [
        {"id": id_, "text": text, "title": "Tides", "format": "markdown"}
        for id_, text in {"same": "Same.", "other": "After.", "new": "New."}.items()
    ]
    answer = await ask("POST", f"{DOCUMENTS}?dry_run=true", {"documents": documents})
    assert [one["status"] for one in answer["documents"]] == ["unchanged", "changed", "new"]
    assert len(await notes.documents(9)) == 2
    assert await notes.jobs(9) == []
