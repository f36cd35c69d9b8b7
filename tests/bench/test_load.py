"""Load: answers taken apart, clients that wait and clients that do not, against a small server."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from harness.sides.http import Answer, BadAnswer, connect, parse, post
from harness.sides.load import STAMP, Target, fetch, rows_of, run_closed, run_open, steady_rate

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def vectors(texts: list[str]) -> dict[str, Any]:
    rows = [np.array([number, len(text)], dtype="<f4") for number, text in enumerate(texts)]
    return {"data": [{"embedding": base64.b64encode(row.tobytes()).decode()} for row in rows]}


async def embed(request: web.Request) -> web.Response:
    return web.json_response(vectors((await request.json())["input"]))


async def target_at(aiohttp_server: Any, folder: Path, handler: Handler, bodies: list[Any]) -> Target:
    application = web.Application()
    application.router.add_post("/v1/embeddings", handler)
    server = await aiohttp_server(application)
    path = folder / "bodies.json"
    path.write_text(json.dumps(bodies))
    return Target.read(server.port, "/v1/embeddings", path)


def test_an_answer_is_not_there_before_its_last_byte() -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    assert [parse(whole[:end]) for end in (10, len(whole) - 3, len(whole) - 1)] == [None] * 3
    assert parse(whole) == Answer(200, retry_after=False, body=b"{}")


def test_a_refusal_says_when_to_come_back() -> None:
    whole = b"HTTP/1.1 429 Too Many\r\nretry-after: 3\r\ncontent-length: 0\r\n\r\n"
    assert parse(whole) == Answer(429, retry_after=True, body=b"")


def test_an_answer_of_unknown_length_is_no_answer() -> None:
    with pytest.raises(BadAnswer, match="content-length"):
        parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")


async def test_a_connection_that_is_closed_ends_the_request(aiohttp_server: Any, tmp_path: Path) -> None:
    async def hang_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    target = await target_at(aiohttp_server, tmp_path, hang_up, [{"input": ["a"]}])
    connection = await connect("127.0.0.1", target.port)
    with pytest.raises(BadAnswer, match="closed"):
        await connection.send(target.request(0))


async def test_every_request_is_sent_once_and_its_vectors_are_counted(
    aiohttp_server: Any, tmp_path: Path
) -> None:
    seen: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        seen.extend((await request.json())["input"])
        return await embed(request)

    bodies = [{"input": [f"text {number}", "more"]} for number in range(7)]
    target = await target_at(aiohttp_server, tmp_path, handle, bodies)
    result = await run_closed(target, clients=3, first=2, requests=5)
    assert sorted(seen) == sorted([f"text {number}" for number in (2, 3, 4, 5, 6)] + ["more"] * 5)
    assert result["texts"] == 10
    assert result["statuses"] == {"200": 5}
    assert 0 < result["answered"]["p50_ms"] <= 1000 * result["seconds"]


async def test_an_answer_with_too_few_vectors_fails_the_load(aiohttp_server: Any, tmp_path: Path) -> None:
    async def forget(_: web.Request) -> web.Response:
        return web.json_response(vectors(["one"]))

    target = await target_at(aiohttp_server, tmp_path, forget, [{"input": ["one", "two"]}])
    with pytest.raises(ExceptionGroup) as failed:
        await run_closed(target, clients=1, requests=1)
    assert failed.group_contains(BadAnswer, match="1 vectors for 2 texts")


async def test_an_open_load_does_not_wait_for_its_answers(aiohttp_server: Any, tmp_path: Path) -> None:
    everyone_is_here = asyncio.Event()
    arrived = 0

    async def handle(request: web.Request) -> web.Response:
        nonlocal arrived
        arrived += 1
        if arrived == 10:
            everyone_is_here.set()
        await everyone_is_here.wait()
        return await embed(request)

    target = await target_at(aiohttp_server, tmp_path, handle, [{"input": ["a"]}])
    result = await run_open(target, rate=1000.0, seconds=0.01, patience_s=10.0)
    assert result["statuses"] == {"200": 10}
    assert result["unanswered"] == 0


async def test_refusals_and_those_who_wait_in_vain_are_told_apart(
    aiohttp_server: Any, tmp_path: Path
) -> None:
    numbers = iter(range(4))
    over = asyncio.Event()
    headers = {2: {"Retry-After": "1"}, 3: {}}

    async def handle(request: web.Request) -> web.Response:
        number = next(numbers)
        if number == 1:
            await over.wait()
        return web.Response(status=429, headers=headers[number]) if number > 1 else await embed(request)

    target = await target_at(aiohttp_server, tmp_path, handle, [{"input": ["a"]}])
    result = await run_open(target, rate=100.0, seconds=0.04, patience_s=0.5)
    over.set()
    assert result["statuses"] == {"200": 1, "429": 2}
    assert result["refused_without_retry_after"] == 1
    assert result["unanswered"] == 1


def test_stamped_texts_are_never_the_same(tmp_path: Path) -> None:
    bodies = tmp_path / "bodies.json"
    bodies.write_text(json.dumps([{"input": [f"{STAMP.decode()} a"]}]))
    target = Target.read(80, "/v1/embeddings", bodies)
    first, second = target.request(0), target.request(1)
    assert first != second
    assert len(first) == len(second)


def test_a_request_counts_its_bytes() -> None:
    assert post("127.0.0.1", 80, "/x", "é".encode()).endswith(b"\r\nContent-Length: 2\r\n\r\n\xc3\xa9")


async def test_vectors_are_fetched_in_the_order_of_their_texts(aiohttp_server: Any, tmp_path: Path) -> None:
    target = await target_at(aiohttp_server, tmp_path, embed, [{"input": ["a", "bb"]}, {"input": ["ccc"]}])
    await fetch(target, count=2, out=str(tmp_path / "rows.npy"))
    assert np.load(tmp_path / "rows.npy").tolist() == [[0, 1], [1, 2], [0, 3]]


def test_vectors_of_a_refusal_are_an_error() -> None:
    with pytest.raises(BadAnswer, match="503"):
        rows_of(Answer(503, retry_after=True, body=b"no"))


def test_a_steady_rate_leaves_out_what_led_up_to_the_first_answer() -> None:
    finished = [(2.0, 32), (3.0, 32), (4.0, 32), (7.0, 32)]
    assert steady_rate(finished, within_s=6.0) == 64 / 4


def test_a_single_answer_has_no_rate() -> None:
    assert steady_rate([(1.0, 32)], within_s=6.0) is None
