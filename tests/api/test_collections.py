"""PUT, GET, PATCH and DELETE of collections."""

import pytest
from asking import Ask

from api.services.container import Services
from api.settings import Settings
from index.rows import CollectionSettings, CollectionStatistics


async def test_an_empty_put_takes_the_default_model(ask: Ask) -> None:
    answer = await ask("PUT", "/v1/collections/notes", {}, status=201)
    assert (answer["model"], answer["dim"], answer["metric"]) == ("fake", 64, "cosine")
    assert (answer["documents"], answer["points"]) == (0, 0)


async def test_the_same_put_again_is_200(ask: Ask) -> None:
    await ask("PUT", "/v1/collections/notes", {}, status=201)
    await ask("PUT", "/v1/collections/notes", {}, status=200)


async def test_another_put_under_the_same_name_is_409_and_names_the_difference(ask: Ask) -> None:
    await ask("PUT", "/v1/collections/notes", {"dim": 4}, status=201)
    error = (await ask("PUT", "/v1/collections/notes", {"dim": 5}, status=409))["error"]
    assert error["code"] == "collection_exists"
    assert "dim is 4, not 5" in error["message"]
    assert (await ask("GET", "/v1/collections/notes"))["dim"] == 4


async def test_quantization_is_chosen_or_usual(ask: Ask) -> None:
    usual = await ask("PUT", "/v1/collections/usual", {"dim": 256}, status=201)
    chosen = await ask("PUT", "/v1/collections/chosen", {"dim": 256, "quantization": "none"}, status=201)
    assert (usual["quantization"], chosen["quantization"]) == ("int8", "none")
    await ask("PUT", "/v1/collections/chosen", {"dim": 256}, status=200)
    await ask("PUT", "/v1/collections/chosen", {"dim": 256, "quantization": "int8"}, status=409)
    await ask("PUT", "/v1/collections/other", {"dim": 256, "quantization": "int4"}, status=422)


async def test_documents_are_cut_as_the_collection_asks(ask: Ask) -> None:
    text = " ".join(f"Sentence number {number} is about the sea." for number in range(20))  # 160 tokens
    created = await ask("PUT", "/v1/collections/small", {"chunk_tokens": 32}, status=201)
    await ask("PUT", "/v1/collections/usual", {}, status=201)
    await ask("PUT", "/v1/collections/large", {"chunk_tokens": 1000}, status=201)
    assert created["chunk_tokens"] == 32
    body = {"documents": [{"id": "sea", "text": text}]}
    cut = [
        (await ask("POST", f"/v1/collections/{name}/documents?wait=true", body))["documents"][0]["passages"]
        for name in ("small", "usual", "large")
    ]
    assert cut == [5, 2, 1]
    await ask("PUT", "/v1/collections/small", {"chunk_tokens": 64}, status=409)
    await ask("PUT", "/v1/collections/none", {"chunk_tokens": 8}, status=422)
    await ask("PUT", "/v1/collections/none", {"dim": 4, "chunk_tokens": 32}, status=422)


async def test_collections_are_listed_and_deleted(ask: Ask) -> None:
    await ask("PUT", "/v1/collections/a", {"dim": 2}, status=201)
    await ask("PUT", "/v1/collections/b", {"dim": 2}, status=201)
    assert [one["name"] for one in (await ask("GET", "/v1/collections"))["collections"]] == ["a", "b"]
    assert (await ask("DELETE", "/v1/collections/a")) == {"deleted": 1}
    assert (await ask("DELETE", "/v1/collections/a")) == {"deleted": 0}
    assert [one["name"] for one in (await ask("GET", "/v1/collections"))["collections"]] == ["b"]


async def test_an_answer_says_how_much_memory_it_takes(ask: Ask, settings: Settings) -> None:
    if settings.catalog != "sqlite":
        pytest.skip("vectors are in the memory of PostgreSQL")
    created = await ask("PUT", "/v1/collections/a", {"dim": 2}, status=201)
    assert created["memory_bytes"] > created["mapped_bytes"] == 0


async def test_a_deleted_collection_can_come_back_empty(ask: Ask) -> None:
    await ask("PUT", "/v1/collections/a", {"dim": 2}, status=201)
    await ask("POST", "/v1/collections/a/points", {"points": [{"id": "p", "vector": [1, 0]}]})
    await ask("DELETE", "/v1/collections/a")
    answer = await ask("PUT", "/v1/collections/a", {"dim": 3}, status=201)
    assert (answer["dim"], answer["points"]) == (3, 0)


async def test_the_description_can_be_changed(ask: Ask) -> None:
    await ask("PUT", "/v1/collections/a", {"dim": 2}, status=201)
    assert (await ask("PATCH", "/v1/collections/a", {"description": "mine"}))["description"] == "mine"
    assert (await ask("PUT", "/v1/collections/a", {"dim": 2}))["description"] == "mine"


@pytest.mark.parametrize("name", ["UPPER", "-a", "a.b", "a" * 64, "%C3%A4"])
async def test_a_bad_name_is_a_422(ask: Ask, name: str) -> None:
    assert (await ask("PUT", f"/v1/collections/{name}", {}, status=422))["error"]["code"] == "invalid_name"


@pytest.mark.parametrize(
    "body",
    [
        {"dim": 0},
        {"dim": 5000},
        {"metric": "manhattan"},
        {"dim": "4"},
        {"nonsense": 1},
        {"dim": 4, "model": "fake"},
    ],
)
async def test_bad_settings_are_a_422_and_create_nothing(ask: Ask, body: object) -> None:
    await ask("PUT", "/v1/collections/a", body, status=422)
    assert (await ask("GET", "/v1/collections"))["collections"] == []


async def test_a_collection_is_tied_to_the_weights_it_was_made_with(ask: Ask, services: Services) -> None:
    card = services.models.embedder().card
    other = CollectionSettings("old", card.dim, model=card.name, model_revision="1", model_sha256="0" * 64)
    await services.catalog.create(other)
    for path, body in [
        ("documents?wait=true", {"documents": [{"text": "x"}]}),
        ("search", {"query": "x"}),
    ]:
        error = (await ask("POST", f"/v1/collections/old/{path}", body, status=409))["error"]
        assert error["code"] == "model_changed"
    assert (await ask("POST", "/v1/collections/old/search", {"query": "x", "mode": "lexical"}))["hits"] == []


async def test_an_unknown_model_is_a_404(ask: Ask) -> None:
    assert (await ask("PUT", "/v1/collections/a", {"model": "x"}, status=404))["error"][
        "code"
    ] == "model_not_found"


async def test_an_unknown_collection_is_a_404_on_every_route(ask: Ask) -> None:
    for method, path, body in [
        ("GET", "", None),
        ("POST", "/search", {"query": "x"}),
        ("POST", "/documents", {"documents": [{"text": "x"}]}),
        ("POST", "/points", {"points": [{"id": "a", "vector": [1]}]}),
        ("GET", "/points/count", None),
    ]:
        error = (await ask(method, f"/v1/collections/missing{path}", body, status=404))["error"]
        assert error["code"] == "collection_not_found"


async def test_a_collection_that_is_dropped_while_they_are_listed_is_left_out(
    ask: Ask, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("gone", "kept"):
        await ask("PUT", f"/v1/collections/{name}", {}, status=201)
    gone = await services.catalog.get("gone")
    statistics = gone.statistics

    async def drop_first() -> CollectionStatistics:
        await services.catalog.drop("gone")
        return await statistics()

    monkeypatch.setattr(gone, "statistics", drop_first)
    listed = (await ask("GET", "/v1/collections"))["collections"]
    assert [one["name"] for one in listed] == ["kept"]
