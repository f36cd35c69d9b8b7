"""Health, readiness, info and the contract's own description."""

from typing import Any

from aiohttp.test_utils import TestClient
from asking import Ask

from api.http.routes import ROUTES
from api.services.container import Services


async def test_alive_and_ready(ask: Ask) -> None:
    assert await ask("GET", "/healthz") == {"status": "ok"}
    assert await ask("GET", "/readyz") == {"ready": True, "reasons": []}


async def test_a_closing_service_is_alive_but_not_ready(ask: Ask, services: Services) -> None:
    services.readiness.close()
    await ask("GET", "/healthz")
    assert (await ask("GET", "/readyz", status=503))["reasons"] == ["the service is shutting down"]


async def test_info_names_version_models_and_limits(ask: Ask) -> None:
    info = await ask("GET", "/v1/info")
    assert (info["name"], info["default_model"], info["generator"]) == ("embedd", "fake", "extractive")
    assert info["models"][0]["status"] == "ready"
    assert info["limits"]["max_json_bytes"] == 32 * 2**20
    assert (info["limits"]["max_dim"], info["limits"]["max_metadata_bytes"]) == (4_096, 65_536)


async def test_openapi_has_every_status_that_an_answer_comes_with(ask: Ask) -> None:
    paths = (await ask("GET", "/openapi.json"))["paths"]
    assert {"200", "201"} <= paths["/v1/collections/{name}"]["put"]["responses"].keys()
    assert {"200", "201"} <= paths["/v1/aliases/{name}"]["put"]["responses"].keys()
    assert {"200", "201", "202"} <= paths["/v1/models"]["post"]["responses"].keys()
    assert {"200", "503"} <= paths["/readyz"]["get"]["responses"].keys()
    assert "content" not in paths["/health"]["get"]["responses"]["200"], "it has no body"


async def test_openapi_describes_every_route_and_resolves_every_reference(ask: Ask) -> None:
    api = await ask("GET", "/openapi.json")
    assert api["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, methods in api["paths"].items() for method in methods}
    assert described == {(route.method, route.path.replace(":.+", "")) for route in ROUTES}
    for reference in references(api):
        assert reference.removeprefix("#/components/schemas/") in api["components"]["schemas"]


def test_every_route_has_a_summary_and_a_name_of_its_own() -> None:
    assert all(route.summary for route in ROUTES)
    names = [(route.tag, route.handler.__name__) for route in ROUTES]
    assert len(set(names)) == len(names)


async def test_the_docs_page_loads_nothing_from_elsewhere(client: TestClient[Any, Any]) -> None:
    response = await client.get("/docs")
    page = await response.text()
    assert response.content_type == "text/html"
    assert "https://" not in page
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


async def test_unknown_query_parameters_are_refused(ask: Ask) -> None:
    await ask("GET", "/v1/collections?limits=3", status=422)


def references(node: object) -> list[str]:
    if isinstance(node, dict):
        here = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return here + [found for part in node.values() for found in references(part)]
    if isinstance(node, list):
        return [found for part in node for found in references(part)]
    return []
