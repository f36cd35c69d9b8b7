"""From what sides measured to rates and goals, and from result files to the page that shows them."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from harness.engine_figures import CROSS_ENCODER, ENCODE, ENGINES, FLOORS, Placement, figures_of, goals_of
from harness.peers import peer_versions
from harness.readme import BEGIN, END, README, RESULTS, groups, main, recorded, replaced, section
from harness.svg import Bar, Group, plot

SECONDS = {ENCODE: 8.0, "engine auto": 1.0, "engine bfloat16": 1.0, "engine float32": 4.0}


def measured(name: str) -> dict[str, Any]:
    rows: dict[str, Any] = {"seconds": SECONDS.get(name, 0.5)}
    if name.startswith("engine") or name == CROSS_ENCODER:
        rows = {"seconds": SECONDS.get(name, 1.0), "tokenize_s": 0.1, "batch_seconds": [0.4, 0.6]}
    return rows


@pytest.fixture
def placement() -> Placement:
    names = (ENCODE, *ENGINES, CROSS_ENCODER, *FLOORS)
    facts = {name: {"dtype": dtype, "forward": "packed"} for name, dtype in ENGINES.items()}
    facts["engine auto"]["dtype"] = "bfloat16"
    facts |= {ENCODE: {"dtype": "float32"}, CROSS_ENCODER: facts["engine auto"]}
    rounds = {name: [measured(name), measured(name)] for name in names}
    return Placement(["aa", "b"], [6, 4], facts=facts, measured=rounds)


def compared(*, cosine: float, difference: float) -> dict[str, Any]:
    return {
        "cosine": {"mean": 0.99997, "lowest": cosine},
        "largest_difference": difference,
        "batching": {"alone": 1e-7, "permuted": 3e-7},
    }


def throughput(placement: Placement) -> dict[str, Any]:
    correctness = {name: compared(cosine=0.9999, difference=1e-7) for name in ENGINES}
    figures = figures_of(placement) | {"correctness": correctness}
    return {
        "figures": {
            "all_cores": figures,
            "one_core": figures,
            "goals": [goal.as_figure() for goal in goals_of(figures)],
        },
        "settings": {"model": "tiny", "texts": 2, "rounds": 2, "openvino": {"openvino": "9.1"}},
        "machine": {
            "cores": 2,
            "processor": "a processor",
            "libraries": {"torch": "2.13.0", "transformers": "5"},
            "at": "2026-01-02T03:04:05",
            "revision": "abc",
        },
    }


def service() -> dict[str, Any]:
    query, cosine = {"p50_ms": 3.21, "p99_ms": 9.0}, {"mean": 1.0, "lowest": 0.999975}
    row = {"small_texts_per_s": 400.0, "large_texts_per_s": 450.0, "ours_to_this_small": 1.0}
    row |= {"ours_to_this_large": 1.0, "query": query, "cosine": cosine}
    slower = row | {"small_texts_per_s": 80.0, "ours_to_this_small": 5.0}
    figures = {"peers": {"embedd": row, "infinity torch float32": slower}, "goals": []}
    return {"figures": figures, "settings": {"infinity": {"torch": "2", "infinity_emb": "0.0.1"}}}


def test_rates_and_ratios_follow_from_the_seconds(placement: Placement) -> None:
    row = figures_of(placement)["sides"]["engine bfloat16"]
    assert row["texts_per_s"] == 2.0
    assert row["tokens_per_s"] == 10.0
    assert row["to_encode"] == 8.0
    assert row["share_of_floor"] == 0.5
    assert row["padding"] == 0.0
    assert row["tokenizing"] == pytest.approx(0.1)


def test_without_the_peer_there_is_no_ratio_to_it_and_no_goal(placement: Placement) -> None:
    figures = throughput(placement)["figures"]
    assert figures["all_cores"]["sides"][ENCODE]["to_openvino"] is None
    assert not [goal for goal in figures["goals"] if "OpenVINO" in goal["name"]]


def test_encode_is_charged_with_its_padding(placement: Placement) -> None:
    assert figures_of(placement)["sides"][ENCODE]["padding"] == pytest.approx(1 - 10 / 12)


def test_the_engine_meets_its_goals_by_what_was_measured(placement: Placement) -> None:
    goals = {goal["name"]: goal for goal in throughput(placement)["figures"]["goals"]}
    assert goals["bfloat16, to encode()"]["met"]
    assert goals["float32, difference by batching"]["value"] == 3e-7
    assert goals["cross-encoder, of the engine's"]["value"] == pytest.approx(1.0)


def test_the_page_shows_every_side_and_server(placement: Placement) -> None:
    shown = section(throughput(placement), service())
    for name in (ENCODE, *ENGINES, CROSS_ENCODER, *FLOORS, "embedd", "infinity torch float32"):
        assert f"| {name} |" in shown
    assert "| infinity torch float32 | 80 | 5.00 |" in shown
    assert "2026-01-02" in shown
    assert "OpenVINO 9.1, and infinity with infinity_emb 0.0.1, torch 2." in shown


def test_the_versions_of_a_peer_are_those_that_are_installed(tmp_path: Path) -> None:
    for name, version in {"openvino": "9.1", "six": "1"}.items():
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    assert peer_versions("openvino", tmp_path) == {"openvino": "9.1"}


def test_a_peer_that_is_not_installed_has_no_versions() -> None:
    assert peer_versions("no-such-peer") == {}


def test_every_table_has_as_many_cells_in_each_line(placement: Placement) -> None:
    tables = section(throughput(placement), service()).split("\n\n")
    for table in tables:
        lines = [line for line in table.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert replaced(page, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


def test_the_readme_has_its_marks_once() -> None:
    page = README.read_text(encoding="utf-8")
    assert page.count(BEGIN) == page.count(END) == 1


def test_the_longest_bar_is_the_largest_value() -> None:
    drawn = ET.fromstring(plot([Group("rates", [Bar("a", 50.0, "ours"), Bar("b<c", 200.0, "other")])]))
    bars = [float(part.get("width", 0)) for part in drawn.iter() if part.get("rx")]
    assert bars[0] * 4 == pytest.approx(bars[1], abs=0.5)
    assert "b<c" in [part.text for part in drawn.iter()]


def test_the_plot_leaves_out_what_it_would_show_twice(placement: Placement) -> None:
    alone, served = groups(throughput(placement), service())
    assert [bar.label for bar in alone.bars] == [
        ENCODE,
        "engine bfloat16",
        "engine float32",
        "floor bfloat16",
    ]
    assert [bar.kind for bar in served.bars] == ["ours", "other"]


def test_the_page_and_the_plot_are_written_from_the_result_files(
    placement: Placement, tmp_path: Path
) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"# Benchmarks\n{BEGIN}\n{END}\n")
    main(tmp_path, page)
    assert "No figures have been recorded yet." in page.read_text()
    (tmp_path / "embed_throughput.json").write_text(json.dumps(throughput(placement)))
    (tmp_path / "embed_service.json").write_text(json.dumps(service()))
    main(tmp_path, page)
    assert recorded(tmp_path) in page.read_text()
    assert (tmp_path / "embedding.svg").read_text().startswith("<svg")


def test_the_committed_page_says_what_the_committed_results_say() -> None:
    shown = README.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()
    assert shown == recorded(RESULTS).strip()
