"""What does the service make of the engine, through HTTP, with many clients and with too many?

A real service, its worker on one core, the service and all clients on the other; and the engine alone on
the worker's core, in turn with it. 32 clients of one text each against the engine; one query against the bare
forward; a person beside bulk work; ten times as much as can be served; memory over many requests. Then, with
all cores: what late interaction adds to a search, and the service beside other embedding servers.
"""

import asyncio
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import scenarios
from harness.corpora import load_squad, sample
from harness.late_search import late_search
from harness.model import Model, bundled_model
from harness.options import Options, parse_options
from harness.peer_services import beside_peers
from harness.peers import peer_versions
from harness.report import machine, print_table, write
from harness.scenarios import Effort
from harness.service import MODEL
from harness.stage import SETTINGS, Stage, Texts, open_stage
from harness.targets import Goal, print_goals
from harness.texts import load_texts

STAGED = ("engine", "query", "person", "overload", "memory")
PARTS = (*STAGED, "late", "peers")
QUERY_TOKENS = 16
# Texts beyond those of the rounds, for bulk work and overload.
MORE_TEXTS = 4096

FULL = Effort(
    rounds=5,
    one_text=2048,
    queries=75,
    bulk_s=60.0,
    capacity_s=15.0,
    overload_s=60.0,
    memory=100_000,
    searches=75,
    documents=2_000,
    peers=512,
)
QUICK = Effort(
    rounds=2,
    one_text=128,
    queries=25,
    bulk_s=5.0,
    capacity_s=4.0,
    overload_s=10.0,
    memory=5_000,
    searches=25,
    documents=200,
    peers=64,
)


def read_texts(options: Options, model: Model, effort: Effort) -> Texts:
    """Mixed texts, enough for every round, and all questions of 16 tokens."""
    questions = [question.text for question in load_squad(options.data).questions]
    queries = [
        text
        for text, ids in zip(questions, model.tokenize(questions), strict=True)
        if len(ids) == QUERY_TOKENS
    ]
    return Texts(load_texts(options.data, effort.rounds * effort.one_text + MORE_TEXTS), queries)


async def staged_figures(stage: Stage, effort: Effort, parts: tuple[str, ...]) -> dict[str, Any]:
    """The parts that share one stage; a person beside bulk work is measured by the two before it."""
    figures: dict[str, Any] = {}
    if {"engine", "person"} & {*parts}:
        figures["engine"] = await scenarios.one_text_each(stage, effort)
    if {"query", "person"} & {*parts}:
        figures["query"] = await scenarios.one_query(stage, effort)
    if "person" in parts:
        figures["person"] = await scenarios.person_beside_bulk(
            stage,
            effort,
            batch_ms=figures["engine"]["batch_ms"],
            forward_ms=figures["query"]["forward_ms"],
        )
    if "overload" in parts:
        figures["overload"] = await scenarios.overload(stage, effort)
    figures["spared"] = await stage.spared()
    if "memory" in parts:
        figures["memory"] = await scenarios.memory_growth(stage, effort)
    return figures


def goals_of(figures: dict[str, Any]) -> list[Goal]:
    """What the measured parts should reach."""
    goals = []
    if part := figures.get("engine"):
        goals.append(
            Goal("32 clients of one text, of the engine's rate", part["share"], "at least", 0.85, "%")
        )
    if part := figures.get("query"):
        goals.append(Goal("one query, over the bare forward", part["added_ms"], "at most", 1.5, "ms"))
    if part := figures.get("person"):
        latency, allowed = part["latency"]["p99_ms"], part["allowed_ms"]
        goals.append(Goal("a query beside bulk work, p99", latency, "at most", allowed, "ms"))
    if part := figures.get("overload"):
        goals += [
            Goal("goodput at ten times capacity", part["goodput_share"], "at least", 0.9, "%"),
            Goal("neither answered nor refused", part["neither_answered_nor_429"], "at most", 0),
            Goal("refused without Retry-After", part["refused_without_retry_after"], "at most", 0),
        ]
    if part := figures.get("memory"):
        goals.append(Goal(f"memory after {part['requests']} requests", part["growth"], "at most", 0.05, "%"))
    if part := figures.get("late"):
        goals.append(Goal("late interaction over 30 passages", part["added_ms"], "at most", 12.0, "ms"))
    return goals


async def run(options: Options) -> None:
    """Runs the parts that were asked for and reports."""
    before = machine()
    effort, model = QUICK if options.quick else FULL, bundled_model()
    texts = read_texts(options, model, effort)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="embedd-bench-") as name:
        folder = Path(name)
        if {*STAGED} & {*options.parts}:
            async with open_stage(texts, model, folder) as stage:
                figures |= await staged_figures(stage, effort, options.parts)
        if "late" in options.parts:
            corpus = sample(load_squad(options.data), questions=0, documents=effort.documents)
            figures["late"] = await late_search(corpus, texts.queries, effort, folder)
        if "peers" in options.parts:
            figures["peers"] = await beside_peers(texts, model, effort, folder)
    goals = goals_of(figures)
    print_figures(figures)
    print_goals(goals)
    figures["goals"] = [goal.as_figure() for goal in goals]
    write(options.out, figures, settings(options, effort, texts), before)


def settings(options: Options, effort: Effort, texts: Texts) -> dict[str, Any]:
    """What was measured how."""
    return {
        "quick": options.quick,
        "model": MODEL,
        "parts": options.parts,
        "effort": asdict(effort),
        "queries": len(texts.queries),
        "query_tokens": QUERY_TOKENS,
        "clients": scenarios.CLIENTS,
        "bulk": {"clients": scenarios.BULK_CLIENTS, "texts": scenarios.BULK_TEXTS},
        "overload": {"times": scenarios.OVERLOAD, "texts": scenarios.REQUEST_TEXTS},
        "service": SETTINGS,
        "infinity": peer_versions("infinity"),
    }


def print_figures(figures: dict[str, Any]) -> None:
    """The single figures, and the table of servers."""
    rows = [
        [f"{part}, {name.replace('_', ' ')}", f"{value:.4g}"]
        for part in PARTS[:-1]
        for name, value in figures.get(part, {}).items()
        if isinstance(value, int | float)
    ]
    print_table("the service", ["figure", "value"], rows)
    columns = [
        "server",
        "32 x 1, texts/s",
        "4 x 32, texts/s",
        "ours to it",
        "",
        "query p50",
        "p99",
        "lowest cosine",
    ]
    peers = [[name, *peer_cells(row)] for name, row in figures.get("peers", {}).items()]
    if peers:
        print_table("beside others, all cores", columns, peers)


def peer_cells(row: dict[str, Any]) -> list[str]:
    """A line of the table of servers."""
    return [
        f"{row['small_texts_per_s']:.0f}",
        f"{row['large_texts_per_s']:.0f}",
        f"{row['ours_to_this_small']:.2f}",
        f"{row['ours_to_this_large']:.2f}",
        f"{row['query']['p50_ms']:.1f} ms",
        f"{row['query']['p99_ms']:.1f} ms",
        f"{row['cosine']['lowest']:.6f}",
    ]


if __name__ == "__main__":
    asyncio.run(run(parse_options("embed_service", "The embedding engine through HTTP, timed.", parts=PARTS)))
