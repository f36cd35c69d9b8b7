"""Alert rules and dashboards: every query parses, asks for what there is, and says what it should."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from ports import free_port
from prometheus_client.parser import text_string_to_metric_families
from promql import ALERTS, DASHBOARDS, alert_queries, dashboard_queries, metrics_of
from real_service import Service

QUERIES = [*alert_queries(), *(query for one in DASHBOARDS for query in dashboard_queries(one))]
BY_PROMETHEUS = {"up"}

needs_prometheus = pytest.mark.skipif(
    shutil.which("promtool") is None or shutil.which("prometheus") is None,
    reason="Prometheus is not installed (Debian: prometheus)",
)


def promtool(*words: str, given: str = "") -> str:
    done = subprocess.run(["promtool", *words], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def page(busy_service: Service) -> str:
    with busy_service.client() as client:
        return client.get("/metrics").text


@pytest.fixture(scope="module")
def prometheus(busy_service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A real Prometheus that has scraped the service."""
    folder = tmp_path_factory.mktemp("prometheus")
    target = {"job_name": "embedd", "static_configs": [{"targets": [f"127.0.0.1:{busy_service.port}"]}]}
    every = {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "250ms"}
    configuration = {"global": every, "rule_files": [str(ALERTS)], "scrape_configs": [target]}
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    listening = f"127.0.0.1:{free_port()}"
    files = [f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data"]
    command = ["prometheus", *files, f"--web.listen-address={listening}"]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
        httpx.Client(base_url=f"http://{listening}", trust_env=False, timeout=10.0) as client,
    ):
        try:
            _wait_until_scraped(client, folder / "log")
            yield client
        finally:
            process.terminate()


def _wait_until_scraped(client: httpx.Client, log: Path) -> None:
    """Twice, so that a rate has two values to be made of."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            answer = client.get("/api/v1/query", params={"query": "count_over_time(embedd_ready[1m])"})
            # While it starts it answers 503, in words.
            if answer.is_success and any(
                float(one["value"][1]) >= 2 for one in answer.json()["data"]["result"]
            ):
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(log.read_text(errors="replace")[-2000:])


def test_there_are_alerts_and_a_dashboard() -> None:
    assert len(alert_queries()) > 8
    assert sum(map(len, map(dashboard_queries, DASHBOARDS))) > 20


def test_every_query_asks_for_series_that_a_service_has(page: str) -> None:
    told = {sample.name for family in text_string_to_metric_families(page) for sample in family.samples}
    asked = {name for query in QUERIES for name in metrics_of(query)}
    assert asked - told - BY_PROMETHEUS == set()


@needs_prometheus
def test_what_a_service_tells_is_well_named(page: str) -> None:
    """But for TEI's own series, whose names are not ours to choose."""
    blocks = page.split("# HELP ")
    promtool("check", "metrics", given="".join(f"# HELP {one}" for one in blocks if one[:7] == "embedd_"))


@needs_prometheus
def test_the_rules_are_sound_and_alert_when_they_should() -> None:
    promtool("check", "rules", str(ALERTS))
    promtool("test", "rules", str(ALERTS.with_name("alerts_test.yaml")))


@needs_prometheus
@pytest.mark.parametrize("query", QUERIES)
def test_prometheus_answers_every_query(query: str, prometheus: httpx.Client) -> None:
    answer = prometheus.get("/api/v1/query", params={"query": query}).json()
    assert answer["status"] == "success", answer


@needs_prometheus
@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda file: file.name)
def test_no_panel_is_empty_at_a_service_that_works(dashboard: Path, prometheus: httpx.Client) -> None:
    empty = [
        query
        for query in dashboard_queries(dashboard)
        if not prometheus.get("/api/v1/query", params={"query": query}).json()["data"]["result"]
    ]
    failures = [query for query in empty if 'status=~"5.."' not in query]
    assert failures == [], "nothing failed, so that one panel is empty and no other"


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda file: file.name)
def test_panels_have_ids_of_their_own_and_do_not_overlap(dashboard: Path) -> None:
    panels = json.loads(dashboard.read_text("utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert all(x < 24 for x, _ in cells)
