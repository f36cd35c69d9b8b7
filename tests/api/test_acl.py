"""Tags of documents against tags of who asks: no route shows a passage to whom it is not for."""

import json
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from asking import Ask

PATH = "/v1/collections/files"
CHAT = "/v1/chat/completions"
SEARCHES = [
    {"query": "the harbour"},
    {"query": "the harbour", "mode": "dense"},
    {"query": "the harbour", "mode": "dense", "exact": True},
    {"query": "the harbour", "mode": "lexical"},
    {"query": "the harbour", "filter": {"year": 2024}},
    {"query": "the harbour", "filter": {"$not": {"year": 1999}}},
    {"query": "the harbour", "filter": {"$or": [{"year": 2024}, {}]}},
    {"query": "the harbour", "group_by": "document"},
    {"query": "the harbour", "mmr": {"diversity": 0.3}},
    {"query": "the harbour", "rerank": "late"},
    {"query": "the harbour", "include": []},
]
SEEN = [
    (None, {"open", "sea", "air", "both"}),
    ([], {"open"}),
    (["sea"], {"open", "sea", "both"}),
    (["air"], {"open", "air", "both"}),
    (["sea", "air", "sea"], {"open", "sea", "air", "both"}),
    (["SEA", "se", "nobody"], {"open"}),
]


@pytest.fixture
async def files(ask: Ask) -> None:
    await ask("PUT", PATH, {}, status=201)
    tags = {"open": [], "sea": ["sea"], "air": ["air"], "both": ["sea", "air"]}
    documents = [
        {"id": id_, "text": f"The harbour of {id_} opens at nine.", "metadata": {"year": 2024}, "acl": acl}
        for id_, acl in tags.items()
    ]
    await ask("POST", f"{PATH}/documents?wait=true", {"documents": documents})


def seen(answer: Any) -> set[str]:
    return {hit["document_id"] for hit in answer["hits"]}


@pytest.mark.usefixtures("files")
async def test_a_search_of_any_kind_finds_what_is_for_who_asks_and_nothing_else(ask: Ask) -> None:
    for acl, visible in SEEN:
        bodies = [body | ({} if acl is None else {"acl": acl}) for body in SEARCHES]
        for body in bodies:
            assert seen(await ask("POST", f"{PATH}/search", body)) == visible, body
        batch = await ask("POST", f"{PATH}/search/batch", {"searches": bodies})
        assert [seen(answer) for answer in batch["results"]] == [visible] * len(bodies)


@pytest.mark.usefixtures("files")
async def test_searches_of_one_batch_each_have_their_own_tags(ask: Ask) -> None:
    searches = [{"query": "harbour", "acl": ["sea"]}, {"query": "harbour"}, {"query": "harbour", "acl": []}]
    batch = await ask("POST", f"{PATH}/search/batch", {"searches": searches})
    assert [len(answer["hits"]) for answer in batch["results"]] == [3, 4, 1]


@pytest.mark.usefixtures("files")
async def test_a_filter_cannot_ask_for_tags(ask: Ask) -> None:
    for key in ("acl", "\\ud800acl", "d.acl"):
        body = {"query": "harbour", "acl": [], "filter": {"$or": [{key: {"$exists": False}}, {key: "sea"}]}}
        assert seen(await ask("POST", f"{PATH}/search", body)) == {"open"}


@pytest.mark.usefixtures("files")
async def test_recommendations_neither_give_nor_take_what_is_not_for_who_asks(ask: Ask) -> None:
    body = {"positive": ["open#0"], "acl": ["sea"]}
    assert seen(await ask("POST", f"{PATH}/recommend", body)) == {"sea", "both"}
    hidden = await ask("POST", f"{PATH}/recommend", body | {"negative": ["air#0"]}, status=404)
    missing = await ask("POST", f"{PATH}/recommend", body | {"negative": ["nil#0"]}, status=404)
    assert hidden["error"]["message"].replace("air", "nil") == missing["error"]["message"]


@pytest.mark.usefixtures("files")
async def test_a_chat_rests_on_what_is_for_who_asks(client: TestClient[Any, Any], ask: Ask) -> None:
    for acl, visible in SEEN:
        retrieval = {"collection": "files", "k": 10} | ({} if acl is None else {"acl": acl})
        body = {"messages": [{"role": "user", "content": "When does the harbour open?"}]}
        body |= {"model": "extractive", "retrieval": retrieval}
        answer = await ask("POST", CHAT, body)
        assert {source["document_id"] for source in answer["sources"]} <= visible
        text = await (await client.post(CHAT, json=body | {"stream": True})).text()
        first = json.loads(text.partition("\n\n")[0].removeprefix("data: "))
        assert {source["document_id"] for source in first["sources"]} == visible
        for hidden in {"open", "sea", "air", "both"} - visible:
            assert f"harbour of {hidden} " not in text


@pytest.mark.usefixtures("files")
async def test_a_change_of_tags_holds_from_the_next_search_on(ask: Ask) -> None:
    body = {"query": "harbour", "acl": ["sea"]}
    assert seen(await ask("POST", f"{PATH}/search", body)) == {"open", "sea", "both"}
    changed = [{"id": "sea", "text": "The harbour of sea opens at nine.", "acl": ["air"]}]
    await ask("POST", f"{PATH}/documents?wait=true", {"documents": changed})
    assert seen(await ask("POST", f"{PATH}/search", body)) == {"open", "both"}
    await ask("PATCH", f"{PATH}/documents/both", {"metadata": {"year": 1}})
    assert seen(await ask("POST", f"{PATH}/search", body)) == {"open", "both"}
    assert seen(await ask("POST", f"{PATH}/search", body | {"acl": []})) == {"open"}


async def test_tags_that_are_none_are_refused(ask: Ask, files: None) -> None:
    for acl in ("sea", [1], [""], ["x" * 257], ["x"] * 257):
        error = (await ask("POST", f"{PATH}/search", {"query": "x", "acl": acl}, status=422))["error"]
        assert error["param"].startswith("acl")
