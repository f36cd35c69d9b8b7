"""Requests as they are written for a load, goals of what was measured, and a load on a real service."""

from pathlib import Path
from typing import Any

import pytest

from embed_service import PARTS, goals_of
from harness.options import parse_options
from harness.scenarios import LoadFailed, neither, only_answers
from harness.service import open_service
from harness.side import open_side, usable_cores
from harness.sides.load import STAMP
from harness.stage import EMBEDDINGS, SETTINGS, WORKER, counter, one_by_one, target_of, together


def test_texts_sent_together_are_stamped_and_none_is_sent_twice() -> None:
    bodies = together([f"text {number}" for number in range(5)], count=2)
    assert [body["input"] for body in bodies] == [
        [f"{STAMP.decode()} text 0", f"{STAMP.decode()} text 1"],
        [f"{STAMP.decode()} text 2", f"{STAMP.decode()} text 3"],
    ]


async def test_a_load_is_answered_by_a_real_service_on_the_cores_it_was_given(tmp_path: Path) -> None:
    core = usable_cores()[:1]
    async with (
        open_service(model="fake", settings=SETTINGS, cores=core) as service,
        open_side("load", cores=core) as load,
    ):
        bodies = [body | {"model": "fake"} for body in one_by_one([f"text {n}" for n in range(20)])]
        target = target_of(service.port, EMBEDDINGS, tmp_path / "bodies.json", bodies)
        result = await load.call("closed", target=target, clients=4, requests=20)
        assert only_answers(result, 20) == 20
        assert len(service.processes(WORKER)) == 1


def test_a_counter_is_summed_over_its_labels() -> None:
    exposed = (
        '# TYPE hits_total counter\nhits_total{model="a"} 2.0\nhits_total{model="b"} 3.0\nhits_total_x 9.0\n'
    )
    assert counter(exposed, "hits_total") == 5.0


async def test_a_load_that_no_one_answers_is_an_error() -> None:
    load = {"statuses": {"200": 9, "503": 1}, "problems": ["503: gone"], "texts": 9}
    with pytest.raises(LoadFailed, match="503: gone"):
        only_answers(load, 10)


def test_time_outs_are_other_answers_and_none_at_all() -> None:
    assert neither({"statuses": {"200": 5, "429": 90, "504": 2}, "unanswered": 3}) == 5


def test_parts_that_were_not_measured_have_no_goals() -> None:
    assert [goal.name for goal in goals_of({"late": {"added_ms": 3.0}})] == [
        "late interaction over 30 passages"
    ]


def test_the_parts_are_all_of_them_unless_some_are_named(tmp_path: Path) -> None:
    common: list[Any] = ["--data", str(tmp_path)]
    assert parse_options("service", "", common, parts=PARTS).parts == PARTS
    chosen = parse_options("service", "", [*common, "--only", "late", "--only", "peers"], parts=PARTS)
    assert chosen.parts == ("late", "peers")


def test_a_bench_without_parts_takes_none(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        parse_options("quality", "", ["--data", str(tmp_path), "--only", "late"])
