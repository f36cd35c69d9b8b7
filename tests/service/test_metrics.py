"""GET /metrics: what Prometheus reads."""

import re
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient
from asking import Ask
from prometheus_client.parser import text_string_to_metric_families
from pytest_aiohttp import AiohttpClient

from api.app import build_app, open_services
from api.grpc.measuring import CallMetrics
from api.services.container import Services
from api.settings import load_settings

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scrape(client: TestClient[Any, Any]) -> Series:
    response = await client.get("/metrics")
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(await response.text())
        for sample in family.samples
    }


def value(series: Series, name: str, **labels: str) -> float:
    return series.get((name, frozenset(labels.items())), 0.0)


async def test_requests_are_counted_by_route_and_status(client: TestClient[Any, Any], ask: Ask) -> None:
    await ask("POST", "/v1/embeddings", {"input": "tide"})
    await ask("POST", "/v1/embeddings", {"input": []}, status=400)
    series = await scrape(client)
    route = {"method": "POST", "route": "/v1/embeddings"}
    assert value(series, "embedd_http_requests_total", status="200", **route) == 1
    assert value(series, "embedd_http_requests_total", status="400", **route) == 1
    assert value(series, "embedd_http_request_seconds_count", **route) == 2
    assert value(series, "embedd_http_request_seconds_sum", **route) > 0


async def test_each_stage_of_a_request_is_timed(client: TestClient[Any, Any], ask: Ask) -> None:
    await ask("POST", "/v1/embeddings", {"input": "tide"})
    series = await scrape(client)
    for stage in ("tokenize", "queue", "forward", "encode"):
        assert value(series, "embedd_stage_seconds_count", model="fake", stage=stage) == 1
    assert value(series, "embedd_workers_live", model="fake") == 1
    assert value(series, "te_request_count", model="fake", method="single") == 1


async def test_the_cache_and_the_cuts_are_counted(client: TestClient[Any, Any], ask: Ask) -> None:
    for _ in range(2):
        await ask("POST", "/v1/embeddings", {"input": "tide " * 1000})
    series = await scrape(client)
    assert value(series, "embedd_cache_hits_total", model="fake") == 1
    assert value(series, "embedd_cache_misses_total", model="fake") == 1
    assert value(series, "embedd_truncated_inputs_total", model="fake") == 2


async def test_a_cache_in_a_file_outlives_the_service(tmp_path: Path, aiohttp_client: AiohttpClient) -> None:
    file = {"cache_file": tmp_path / "cache.db", "data": tmp_path / "data", "model": "fake"}
    hits = []
    for _ in range(2):
        async with open_services(load_settings(file)) as services:
            await services.models.embedder().wait_ready()
            client = await aiohttp_client(build_app(services))
            response = await client.post("/v1/embeddings", json={"input": "tide"})
            assert response.status == 200
            hits.append(value(await scrape(client), "embedd_cache_hits_total", model="fake"))
    assert hits == [0, 1]


async def test_without_a_cache_everything_is_computed(tmp_path: Path, aiohttp_client: AiohttpClient) -> None:
    settings = load_settings({"cache_bytes": 0, "data": tmp_path / "data", "model": "fake"})
    async with open_services(settings) as services:
        client = await aiohttp_client(build_app(services))
        for _ in range(2):
            await client.post("/v1/embeddings", json={"input": "tide"})
        series = await scrape(client)
    assert value(series, "embedd_cache_hits_total", model="fake") == 0
    assert value(series, "embedd_tokens_total", model="fake") == 6


async def test_what_clients_make_up_is_no_label(client: TestClient[Any, Any], ask: Ask) -> None:
    await ask("GET", "/v1/collections/made-up", status=404)
    await ask("GET", "/made/up", status=404)
    await ask("DELETE", "/v1/embeddings", status=405)
    await ask("GET", "/v1/embeddings/made-up", status=404)
    series = await scrape(client)
    labels = {label for _, labels in series for label in labels}
    assert not [text for _, text in labels if "made" in text]
    assert value(series, "embedd_http_requests_total", method="", route="none", status="404") == 2
    assert value(series, "embedd_http_requests_total", method="", route="none", status="405") == 1
    one = {"method": "GET", "route": "/v1/collections/{name}"}
    assert value(series, "embedd_http_requests_total", status="404", **one) == 1


async def test_the_memory_of_the_process_is_told(client: TestClient[Any, Any]) -> None:
    assert value(await scrape(client), "process_resident_memory_bytes") > 2**20


async def test_the_documents_name_every_series_of_ours_and_no_other(
    client: TestClient[Any, Any], services: Services
) -> None:
    CallMetrics(services.metrics)  # as where gRPC is on
    page = await (await client.get("/metrics")).text()
    told = set(re.findall(r"^# TYPE (embedd_\w+) ", page, re.MULTILINE))
    section = OPERATIONS.read_text("utf-8").split("\n## Metrics\n")[1].split("\n## ")[0]
    described = set(re.findall(r"`(embedd_\w+)`", section))
    assert {name for name in told if not name.endswith("_created")} == described
