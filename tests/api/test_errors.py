"""Every error that a layer can raise has its row in the table, and the envelope is OpenAI's."""

import inspect
from types import ModuleType

import pytest
from aiohttp.test_utils import TestClient

import api.errors
import embedd.errors
import index.errors
from api.errors import ROWS, InvalidRequest, refuse, row_of


def errors_of(module: ModuleType) -> list[type[Exception]]:
    return [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__ == module.__name__
    ]


ROOTS = {"EmbeddError", "StoreError", "RequestError"}
DOMAIN = [kind for module in (embedd.errors, index.errors, api.errors) for kind in errors_of(module)]
CONVERSATIONS = "/v1/conversations"


@pytest.mark.parametrize("kind", [kind for kind in DOMAIN if kind.__name__ not in ROOTS])
def test_every_domain_error_has_a_row(kind: type[Exception]) -> None:
    assert row_of(kind) is not None


def test_every_row_is_of_a_client_or_an_overload_and_never_a_plain_500() -> None:
    assert all(400 <= row.status < 600 and row.status != 500 for row in ROWS.values())


def test_an_unforeseen_error_tells_nothing_of_itself() -> None:
    refusal = refuse(KeyError("secret detail"))
    assert refusal.status == 500
    assert "secret" not in refusal.message


def test_openai_routes_answer_400_where_others_say_422() -> None:
    error = InvalidRequest("no", param="input")
    assert (refuse(error).status, refuse(error, openai=True).status) == (422, 400)
    assert refuse(error, openai=True).param == "input"


def test_an_answer_that_is_no_number_is_told_apart_from_a_bad_input() -> None:
    refusal = refuse(embedd.errors.NotFinite(3), openai=True)
    assert (refusal.status, refusal.code) == (400, "not_finite")
    assert "input 3" in refusal.message


async def test_an_unknown_path_is_a_404_in_the_envelope(client: TestClient) -> None:
    response = await client.get("/v1/nothing")
    answer = await response.json()
    assert response.status == 404
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert answer["error"]["code"] == "route_not_found"


async def test_a_wrong_method_names_the_right_ones(client: TestClient) -> None:
    response = await client.delete("/v1/embeddings")
    assert response.status == 405
    assert response.headers["Allow"] == "POST"
    assert "POST" in (await response.json())["error"]["message"]


async def test_every_response_carries_the_clients_request_id(client: TestClient) -> None:
    response = await client.get("/healthz", headers={"x-request-id": "mine-1"})
    assert response.headers["x-request-id"] == "mine-1"


async def test_an_unsafe_request_id_is_replaced(client: TestClient) -> None:
    response = await client.get("/v1/nothing", headers={"x-request-id": 'a" b'})
    assert response.headers["x-request-id"].isalnum()


@pytest.mark.parametrize(
    "error", [index.errors.StorageFailed("disk"), embedd.errors.DeadlineExceeded("late")]
)
def test_every_503_says_when_to_come_back(error: Exception) -> None:
    refusal = refuse(error)
    assert refusal.status == 503
    assert refusal.retry_after_s is not None


async def test_a_page_from_elsewhere_may_not_write(client: TestClient) -> None:
    elsewhere, untyped = {"Origin": "http://evil.example"}, ["Content-Type"]  # browsers send it unasked
    response = await client.post(CONVERSATIONS, data=b"{}", headers=elsewhere, skip_auto_headers=untyped)
    assert response.status == 403
    assert (await response.json())["error"]["code"] == "origin_not_allowed"
    assert (await (await client.get(CONVERSATIONS)).json())["conversations"] == []


async def test_the_services_own_page_may_write(client: TestClient) -> None:
    own = {"Origin": f"http://127.0.0.1:{client.port}"}
    assert (await client.post(CONVERSATIONS, json={}, headers=own)).status == 201
