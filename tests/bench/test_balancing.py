"""The balancers' files and what they do with requests; the figures of several services and their page."""

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from api.grpc.methods import METHODS
from api.http.routes import ROUTES
from api.security.needs import PUBLIC, READ
from harness.balanced_load import rate_of
from harness.balancers import Ports, configuration, write_configuration
from harness.load_figures import BEGIN, END, PLOT, groups, recorded, section
from harness.readme import README, RESULTS
from harness.svg import plot
from load import goals_of, unevenness

DEPLOY = Path(__file__).parents[2] / "deploy"
FILES = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg"}
SERVICES, FRONT = [Ports(18001, 15001), Ports(18002, 15002), Ports(18003, 15003)], Ports(18000, 15000)
GENERATING = {"/v1/chat/completions", "/v1/completions"}
CALLS = {"Generate", "GenerateStreaming", "RunBatchedInference", "Chat", "EmbedStream", "Watch"}


def patterns(text: str) -> list[str]:
    """What a file lets be sent twice, by path."""
    return re.findall(r"(?:location ~|path_reg) (\S+\$)", text)


@pytest.mark.parametrize("file", FILES.values())
def test_what_only_asks_is_sent_again_and_nothing_else(file: str) -> None:
    pattern = patterns((DEPLOY / file).read_text("utf-8"))[0]
    again, once = [], []
    for route in ROUTES:
        path = re.sub(r"{\w+(:[^}]*)?}", "x", route.path)
        if route.method != "GET" and route.path != "/v1/collections/{name}/import":
            (again if re.fullmatch(pattern, path) else once).append(route)
    asks = {route.path for route in (*again, *once) if not route.changes and route.path not in GENERATING}
    assert {route.path for route in again} == asks


def test_haproxy_sends_calls_again_that_only_ask() -> None:
    pattern = patterns((DEPLOY / "haproxy.cfg").read_text("utf-8"))[1]
    again = {method.name for method in METHODS if re.fullmatch(pattern, f"/{method.name}")}
    asks = {
        method.name
        for method in METHODS
        if method.needs.scope in (READ.scope, PUBLIC.scope) and method.proto.name not in CALLS
    }
    assert again == {name for name in asks if "Reflection" not in name}


@pytest.mark.parametrize("balancer", FILES)
def test_only_addresses_are_changed_for_a_bench(balancer: str) -> None:
    text = configuration(balancer, SERVICES, FRONT)
    for ports in (*SERVICES, FRONT):
        assert f"127.0.0.1:{ports.http}" in text
        assert f"127.0.0.1:{ports.grpc}" in text
    assert "10.0.0." not in re.sub("(?m)^ *#.*", "", text)
    assert len(patterns(text)) == len(patterns((DEPLOY / FILES[balancer]).read_text("utf-8")))


@pytest.mark.parametrize("balancer", FILES)
def test_the_balancers_take_their_files(balancer: str, tmp_path: Path) -> None:
    if shutil.which(balancer) is None:
        pytest.skip(f"{balancer} is not installed (Debian: {balancer})")
    file = write_configuration(balancer, SERVICES, FRONT, tmp_path)
    checks = {
        "nginx": ["nginx", "-t", "-q", "-p", str(tmp_path), "-c", str(file), "-e", "stderr"],
        "haproxy": ["haproxy", "-c", "-q", "-f", str(file)],
    }
    done = subprocess.run(checks[balancer], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_rate_is_that_of_the_answers_behind_the_first_batch() -> None:
    batches = [0.5, 0.5, 0.51, 1.5, 1.5, 2.5, 2.5, 9.0]
    assert rate_of(batches, 5.0) == pytest.approx(2.0)
    with pytest.raises(ValueError, match="less than two moments"):
        rate_of([0.5, 0.51], 5.0)


def test_the_busiest_is_so_much_above_the_mean() -> None:
    assert unevenness([50, 50]) == 0
    assert unevenness([60, 40]) == pytest.approx(0.2)


def measured(failed: dict[str, int]) -> dict[str, Any]:
    scaled = {
        "per_s": {"1": 20.0, "2": 40.0, "4": 76.0},
        "spread": [5, 5, 5, 5],
        "unevenness": 0.0,
        "failed": 0,
    }
    gone = {"answered": 9, "failed": failed, "longest_s": 0.1}
    going = {"HTTP": gone, "gRPC": gone | {"failed": {}}, "exit_code": 0}
    balancer = {"scaled": {"HTTP": scaled, "gRPC": scaled}, "killed": going, "asked to end": going}
    figures: dict[str, Any] = {"balancers": {"nginx": balancer, "haproxy": balancer}}
    figures["goals"] = [goal.as_figure() for goal in goals_of(figures["balancers"])]
    machine = {"cores": 2, "processor": "a processor", "at": "2026-01-02T03:04:05", "revision": "abc"}
    return {"figures": figures, "settings": {"clients": 32, "text_s": 0.05}, "machine": machine}


def test_what_fails_is_counted_by_balancer_and_misses_the_goal() -> None:
    result = measured({"502": 3})
    goals = {goal["name"]: goal["met"] for goal in result["figures"]["goals"]}
    assert goals["requests that failed while a service went"] is False
    assert goals["4 services to one"] is True
    assert "| nginx, HTTP | 20 | 40 | 76 | 5, 5, 5, 5 | 3 | 3 |" in section(result)


def test_the_plot_has_a_bar_for_each_number_of_services() -> None:
    drawn = ET.fromstring(plot(groups(measured({}))))
    texts = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("4 services") == 4


def test_the_page_has_what_was_recorded() -> None:
    text = README.read_text("utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0].strip() == recorded(RESULTS), "run `make figures`"
    result = json.loads((RESULTS / "load.json").read_bytes())
    assert (RESULTS / PLOT).read_text("utf-8") == plot(groups(result)), "run `make figures`"
