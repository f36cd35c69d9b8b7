"""Options, load, the event stream, the report and a real service under the benches."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from harness.bare_model import bare_rate
from harness.client import ChatTimes, RequestFailed, open_client
from harness.corpora import SourceDocument
from harness.load import run_clients, timed
from harness.options import parse_options
from harness.report import machine, print_table, write
from harness.service import ServiceFailed, family, free_port, open_service, resident_bytes, stop, wait_for


def test_options_name_the_output_after_the_bench(tmp_path: Path) -> None:
    options = parse_options("search", "", ["--data", str(tmp_path), "--quick"])
    assert options.quick
    assert options.out.parts[-3:] == ("bench", "out", "search.json")


def test_missing_data_ends_the_bench_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_options("search", "", ["--data", str(tmp_path / "absent")])
    assert ended.value.code == 2
    assert "--data" in capsys.readouterr().err


async def test_answers_come_in_the_order_of_their_requests() -> None:
    second_started = asyncio.Event()

    async def request(number: int) -> int:
        if number == 0:
            await second_started.wait()
        second_started.set()
        return number * 10

    assert await run_clients(request, clients=2, requests=5) == [0, 10, 20, 30, 40]


async def test_no_more_requests_run_at_once_than_there_are_clients() -> None:
    running = most = 0

    async def request(_: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    await run_clients(request, clients=3, requests=20)
    assert most == 3


async def test_one_failed_request_fails_the_load() -> None:
    async def request(number: int) -> None:
        if number == 3:
            raise ValueError("no")

    with pytest.raises(ExceptionGroup):
        await run_clients(request, clients=2, requests=10)


async def test_a_request_is_timed_from_start_to_answer() -> None:
    assert await timed(asyncio.sleep(0.01)) >= 0.01


def test_a_result_file_has_figures_settings_and_machine(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "result.json"
    write(out, {"rate": 1.5}, {"quick": True}, machine())
    result = json.loads(out.read_text())
    assert result["figures"] == {"rate": 1.5}
    assert result["settings"] == {"quick": True}
    assert result["machine"]["cores"] >= 1
    assert result["machine"]["libraries"]["torch"].startswith("2.13.0")


def test_a_table_shows_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("latency", ["what", "p50"], [["search", "1.5"], ["chat", "20.0"]])
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("latency", "search", "1.5", "chat", "20.0"))


def stream_of(*parts: bytes) -> Any:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for part in parts:
            await response.write(part)
        return response

    return handle


def event(**delta: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


async def chat_over(aiohttp_server: Any, *parts: bytes) -> ChatTimes:
    application = web.Application()
    application.router.add_post("/v1/chat/completions", stream_of(*parts))
    server = await aiohttp_server(application)
    async with open_client(str(server.make_url("/"))) as client:
        return await client.chat("extractive@docs", "why?")


async def test_the_first_text_of_a_stream_is_timed_apart_from_its_end(aiohttp_server: Any) -> None:
    sources = event(role="assistant", content="", padding="x" * 300_000)
    whole = sources + event(content="Because") + event(content=".") + b"data: [DONE]\n\n"
    times = await chat_over(aiohttp_server, whole[:100], whole[100:200_000], whole[200_000:])
    assert 0 < times.first_token_s <= times.total_s


async def test_a_stream_that_breaks_off_is_an_error(aiohttp_server: Any) -> None:
    with pytest.raises(RequestFailed, match="did not end"):
        await chat_over(aiohttp_server, event(content="Beca"))


async def test_a_service_that_ends_early_is_reported_with_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("the port is taken\n")
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "raise SystemExit(3)")
    await process.wait()
    with pytest.raises(ServiceFailed, match=r"status 3(.|\n)*the port is taken"):
        await wait_for(process, f"http://127.0.0.1:{free_port()}/healthz", 0.0, log)


async def test_a_process_is_ended_by_its_id() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE
    )
    await stop(process)
    assert process.returncode is not None


async def test_stopping_what_has_ended_is_no_error() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await process.wait()
    await stop(process)
    assert process.returncode == 0


async def test_a_family_is_a_process_and_its_descendants() -> None:
    script = (
        "import subprocess, sys; p = subprocess.Popen(['cat'], stdin=0); print(p.pid, flush=True); p.wait()"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    child = int(await process.stdout.readline())
    assert family(process.pid) == [process.pid, child]
    process.stdin.close()
    await process.wait()


def test_resident_memory_is_now_and_at_its_peak() -> None:
    sizes = resident_bytes(os.getpid())
    assert 0 < sizes["now"] <= sizes["peak"]


async def test_a_bare_model_that_cannot_be_loaded_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ended with 1"):
        await bare_rate(tmp_path / "no-model", ["one text"])


async def test_a_real_service_is_started_filled_searched_asked_and_ended() -> None:
    documents = [SourceDocument(f"d{number}", "Oil", f"Oil cost {number} dollars.") for number in range(70)]
    async with open_service(model="fake") as service, open_client(service.url) as client:
        assert 0 < service.alive_after_s <= service.ready_after_s
        assert service.memory()["service"]["now"] > 0
        await client.create_collection("oil")
        reports = await client.add_documents("oil", documents)
        assert [report["id"] for report in reports] == [document.id for document in documents]
        hits = await client.search("oil", query="dollars", k=3)
        vectors = await client.embed(["dollars"])
        assert len(hits) == len(await client.search("oil", vector=vectors[0], k=3, mode="dense")) == 3
        times = await client.chat("extractive@oil", "What did oil cost?")
        assert times.first_token_s <= times.total_s
        with pytest.raises(RequestFailed, match="404"):
            await client.search("nothing", query="dollars", k=3)
    with pytest.raises(ProcessLookupError):
        os.kill(service.pid, 0)
