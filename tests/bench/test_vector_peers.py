"""Beside other vector databases: the same rows and searches for all, and what is made of answers."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from harness import vector_rows
from harness.client import open_client
from harness.peers import main as make_peers
from harness.service import (
    ServiceFailed,
    free_port,
    open_server,
    open_service,
    processor_s,
    until_at_rest,
)
from harness.side import open_side, usable_cores
from harness.sides.callers import run_callers, summary
from harness.sides.load import Target, read, run_closed
from harness.stage import target_of
from harness.vector_load import (
    adding_bodies,
    chroma_bodies,
    chroma_ids_of,
    encoded,
    fill,
    ids_of,
    mean_recall,
    replacing_bodies,
    search_bodies,
)
from harness.vector_peers import OURS, Data, Turns, compare, embedd, nearest
from harness.vector_peers import summary as rates_of
from harness.vector_writers import summary as stalls_of
from index.growth import GraphTuning
from index.planner import MIN_EF

VECTORS = np.eye(4, dtype=np.float32)


def test_a_filter_matches_the_rows_whose_metadata_it_names() -> None:
    for kind in ("filter 10 %", "filter 1 %"):
        condition = vector_rows.metadata_filter(kind)
        assert condition is not None
        agreeing = [row for row in range(250) if condition.items() <= vector_rows.metadata_of(row).items()]
        assert vector_rows.matching(kind, 250) == agreeing
    assert len(vector_rows.matching("filter 10 %", 250)) == 25
    assert vector_rows.matching("filter 1 %", 250) == [0, 100, 200]


def test_peers_get_the_graph_that_the_service_builds_and_search_it_as_widely() -> None:
    tuning = GraphTuning()
    assert (tuning.m, tuning.ef_construction) == (vector_rows.M, vector_rows.EF_CONSTRUCTION)
    assert vector_rows.EF == MIN_EF


def test_a_plain_search_matches_all_rows() -> None:
    assert vector_rows.matching("plain", 3) == [0, 1, 2]
    assert vector_rows.metadata_filter("plain") is None


def test_a_search_asks_everyone_for_the_same() -> None:
    question = np.array([[0.5, 0.25]], dtype=np.float32)
    (ours,) = search_bodies(question, "filter 1 %")
    assert ours == {"vector": "AAAAPwAAgD4=", "k": 10, "filter": {"hundredth": 0}}
    (theirs,) = chroma_bodies(question, "filter 1 %")
    assert theirs["query_embeddings"] == [[0.5, 0.25]]
    assert theirs["n_results"] == 10
    assert theirs["where"] == {"hundredth": 0}
    assert "filter" not in search_bodies(question, "plain")[0]
    assert "where" not in chroma_bodies(question, "plain")[0]


def test_ids_are_found_in_answers_of_either_shape() -> None:
    assert ids_of({"hits": [{"id": "a"}, {"id": "b"}]}) == ["a", "b"]
    assert chroma_ids_of({"ids": [["a", "b"]], "distances": [[0.1, 0.2]]}) == ["a", "b"]


def test_recall_is_the_part_of_the_nearest_that_was_found() -> None:
    assert mean_recall([["p1", "p2"], ["p9", "p3"]], [[2, 1], [3, 4]]) == 0.75


def test_recall_counts_what_a_short_answer_lacks() -> None:
    assert mean_recall([["p1"]], [[1, 2, 3, 4]]) == 0.25


def test_the_nearest_are_looked_for_among_the_rows_that_match() -> None:
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1]], dtype=np.float32)
    question = np.array([[1, 0]], dtype=np.float32)
    assert nearest(vectors, question, [0, 1, 2]) == [[0, 1, 2]]
    assert nearest(vectors, question, [2, 1]) == [[1, 2]]


def test_rows_are_replaced_under_their_ids_and_added_under_new_ones() -> None:
    replaced = replacing_bodies(VECTORS, 2)
    assert [[one["id"] for one in body["points"]] for body in replaced] == [["p0", "p1"], ["p2", "p3"]]
    assert replaced[1]["points"][1]["vector"] == encoded(VECTORS[3])
    (first, second) = (body["points"] for body in adding_bodies(VECTORS, 2))
    assert [one["id"] for one in first] == ["new-@@@@@@@@-0", "new-@@@@@@@@-1"]
    assert second[1]["vector"] == encoded(VECTORS[3])


def test_every_write_that_adds_has_ids_of_its_own(tmp_path: Path) -> None:
    target = Target.read(
        **{
            **target_of(1, "/points", tmp_path / "bodies.json", adding_bodies(VECTORS, 2)),
            "bodies": tmp_path / "bodies.json",
        }
    )
    first, again = target.request(0), target.request(0)
    assert b"new-00000000-0" in first
    assert b"new-00000000-1" in first
    assert b"new-00000001-0" in again


def test_only_answers_that_came_in_time_count() -> None:
    found = summary([(0.5, 0.5), (1.0, 0.5), (1.5, 0.5)], 1.0)
    assert found["requests"] == 2
    assert found["answered"]["p50_ms"] == 500


def test_callers_ask_every_number_once() -> None:
    seen: list[int] = []
    done = run_callers(seen.append, clients=3, seconds=0.05, first=7)
    assert sorted(seen) == list(range(7, 7 + len(seen)))
    assert done["requests"] <= len(seen)


def test_a_caller_that_fails_ends_the_load() -> None:
    def fail(_: int) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run_callers(fail, clients=2, seconds=60.0)


def test_rates_are_medians_and_ratios_are_of_the_same_round() -> None:
    def of(*counts: int) -> list[dict[str, Any]]:
        return [
            {"requests": n, "seconds": 2.0, "answered": {"p50_ms": n, "p95_ms": n, "p99_ms": 2 * n}}
            for n in counts
        ]

    found = rates_of(of(10, 30, 20), of(100, 600, 100))
    assert found == {"per_s": 10.0, "ours_to_this": 10.0, "p50_ms": 20, "p99_ms": 40}


def test_the_stall_beside_writers_is_the_longest_of_all_rounds() -> None:
    def of(p99_ms: float, stall_ms: float) -> dict[str, Any]:
        search = {"requests": 10, "seconds": 2.0, "answered": {"p50_ms": 1.0, "p99_ms": p99_ms}}
        return {"search": search, "stall_ms": stall_ms}

    found = stalls_of({"idle": [of(2, 1), of(4, 1)], "rows added": [of(3, 9), of(8, 5)]}, "rows added")
    assert found["p99_to_idle"] == 1.75
    assert found["longest_stall_ms"] == 9
    assert found["per_s"] == 5


async def test_the_bodies_of_answers_are_read_and_a_refusal_is_none(
    aiohttp_server: Any, tmp_path: Path
) -> None:
    async def handle(request: web.Request) -> web.Response:
        asked = await request.json()
        return web.Response(text=f"answer {asked['n']}", status=asked["status"])

    application = web.Application()
    application.router.add_post("/ask", handle)
    server = await aiohttp_server(application)
    bodies = [{"n": 1, "status": 200}, {"n": 2, "status": 200}, {"n": 3, "status": 503}]
    given = target_of(server.port, "/ask", tmp_path / "bodies.json", bodies)
    target = Target.read(server.port, "/ask", Path(given["bodies"]))
    assert await read(target, count=2) == {"bodies": ["answer 1", "answer 2"]}
    with pytest.raises(Exception, match=r"503.*answer 3"):
        await read(target, count=3)


async def test_what_has_no_bodies_is_got(aiohttp_server: Any, tmp_path: Path) -> None:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(text=request.method)

    application = web.Application()
    application.router.add_get("/healthz", handle)
    server = await aiohttp_server(application)
    given = target_of(server.port, "/healthz", tmp_path / "none.json", [])
    target = Target.read(server.port, "/healthz", Path(given["bodies"]))
    done = await run_closed(target, clients=1, requests=3)
    assert done["statuses"] == {"200": 3}
    assert done["requests"] == 3
    assert done["longest_ms"] >= done["answered"]["p99_ms"] > 0


LISTENING = (
    "import socket, sys; server = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
    "while True: server.accept()"
)


async def test_a_server_without_http_is_ready_when_it_takes_a_connection(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-c", LISTENING, str(port)]
    async with open_server(command, port, None, log=tmp_path / "log", environment=dict(os.environ)) as server:
        assert 0 < server.alive_after_s == server.ready_after_s


async def test_a_server_that_ends_before_it_listens_is_reported(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no port for me')"]
    with pytest.raises(ServiceFailed, match=r"status 1(.|\n)*no port for me"):
        async with open_server(
            command, free_port(), None, log=tmp_path / "log", environment=dict(os.environ)
        ):
            pass


async def test_a_process_that_works_is_not_at_rest() -> None:
    script = (
        "import time; input(); e = time.process_time() + 0.5\nwhile time.process_time() < e: pass\ninput()"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdin=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(b"\n")
    while processor_s(process.pid) < 0.1:  # noqa: ASYNC110 - a process' work has no event
        await asyncio.sleep(0.01)
    assert await until_at_rest(process.pid) > 0
    assert processor_s(process.pid) >= 0.5
    assert await until_at_rest(process.pid) < 0.5
    process.stdin.close()
    await process.wait()


def test_a_peer_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["peers", "--cpu-index", "none", "chroma", "nothing"])
    with pytest.raises(SystemExit):
        make_peers()
    assert "no such peer: nothing" in capsys.readouterr().err


async def test_a_real_service_is_filled_and_compared_with_itself(tmp_path: Path) -> None:
    vectors = np.random.default_rng(1).normal(size=(300, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    async with (
        open_service(model="none") as service,
        open_client(service.url) as client,
        open_side("load", cores=usable_cores()) as load,
    ):
        await client.create_collection("rows", dim=8)
        assert await fill(client, vectors) > 0
        data = Data(vectors, vectors[:5], tmp_path, load)
        figures = await compare({OURS: embedd(data, service)}, data, Turns(1, 0.5))
    for kind in ("plain", "filter 10 %", "filter 1 %"):
        found = figures[OURS][kind]
        assert found["recall"] == 1
        assert found["8 clients"]["per_s"] > 0
        assert found["1 clients"]["ours_to_this"] == 1
    assert figures[OURS]["filter 1 %"]["short_answers"] == 0
