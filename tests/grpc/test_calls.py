"""What holds for every call: ids, limits, malformed messages, overload, counts, the end."""

import asyncio
import contextlib
from typing import Any

import grpc
import pytest
from aiohttp.test_utils import TestClient
from google.rpc.error_details_pb2 import RequestInfo, RetryInfo
from grpc import StatusCode
from grpc_calls import LOOPBACK, Caller, alone, open_caller, refused, rows_of
from structlog.testing import capture_logs
from waiting import until

from api.grpc.server import open_server
from api.grpc.v1.embedder_pb2 import EmbedRequest, EmbedStreamRequest
from api.grpc.v1.index_pb2 import SearchRequest
from api.services.container import Services
from embedd.embedder import Embedder
from embedd.errors import Overloaded, WorkerDied

EMBED = "/embedd.v1.Embedder/Embed"


async def told(logged: list[Any], name: str) -> bool:
    """Whether the event ``name`` is among what was ``logged``."""
    return any(event["event"] == name for event in logged)


async def test_every_answer_carries_the_id_of_its_request(caller: Caller) -> None:
    call = caller.embedder.Embed(EmbedRequest(texts=["x"]), metadata=(("x-request-id", "mine-1"),))
    await call
    assert dict(await call.trailing_metadata())["x-request-id"] == "mine-1"
    refusal = await refused(
        caller.embedder.Embed(EmbedRequest(), metadata=(("x-request-id", "no id; at all"),))
    )
    assert len(refusal.details[RequestInfo].request_id) == 32


@pytest.mark.parametrize("body", [b"\xff\xff\xff", b"\x0a\x05ab", b"\x0a\x02\xff\xfe"])
async def test_a_malformed_message_is_told_as_such(caller: Caller, body: bytes) -> None:
    refusal = await refused(caller.channel.unary_unary(EMBED)(body))
    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "MALFORMED_BODY")
    stream = caller.channel.stream_stream("/embedd.v1.Embedder/EmbedStream")
    assert (await refused(stream(iter([body])).read())).code is StatusCode.INVALID_ARGUMENT


async def test_a_message_over_the_limit_is_refused_also_if_it_was_small_on_its_way(caller: Caller) -> None:
    request = EmbedRequest(texts=["a" * (2**20 + 1)])
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        refusal = await refused(caller.embedder.Embed(request, compression=compression))
        assert refusal.code is StatusCode.RESOURCE_EXHAUSTED
    assert await caller.embedder.Embed(EmbedRequest(texts=["still here"]))


async def test_compressed_messages_are_read(address: str) -> None:
    async with open_caller(address, compression=grpc.Compression.Gzip) as caller:
        answer = await caller.embedder.Embed(EmbedRequest(texts=["tide " * 100]))
    assert rows_of(answer).shape == (1, 64)


async def test_too_much_waiting_says_when_to_come_back(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise Overloaded("262144 tokens waiting", retry_after_s=2.5)

    monkeypatch.setattr(Embedder, "embed", refuse)
    refusal = await refused(caller.embedder.Embed(EmbedRequest(texts=["x"])))
    assert (refusal.code, refusal.reason) == (StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    delay = refusal.details[RetryInfo].retry_delay
    assert delay.seconds + delay.nanos / 1e9 == 2.5
    stream = caller.embedder.EmbedStream(iter([EmbedStreamRequest(batch=EmbedRequest(texts=["x"]))]))
    answers = [answer async for answer in stream]
    assert [one.error.retry_after.ToTimedelta().total_seconds() for one in answers] == [2.5]


async def test_a_worker_that_died_is_unavailable(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise WorkerDied("the worker died", retry_after_s=1.0)

    monkeypatch.setattr(Embedder, "embed", refuse)
    refusal = await refused(caller.embedder.Embed(EmbedRequest(texts=["x"])))
    assert refusal.code is StatusCode.UNAVAILABLE
    assert RetryInfo in refusal.details


async def test_the_deadline_of_the_caller_is_that_of_the_work(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []
    embed = Embedder.embed

    async def watched(self: Embedder, *inputs: Any, **options: Any) -> Any:
        given.append(options["deadline_s"])
        return await embed(self, *inputs, **options)

    monkeypatch.setattr(Embedder, "embed", watched)
    await caller.embedder.Embed(EmbedRequest(texts=["x"]), timeout=20.0)
    await caller.embedder.Embed(EmbedRequest(texts=["x"]))
    assert 0.0 < given[0] < 30.0
    assert given[1] == 60.0


async def test_what_nobody_foresaw_is_internal(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Embedder, "embed", lambda *_, **__: 1 / 0)
    with capture_logs() as logged:
        refusal = await refused(caller.embedder.Embed(EmbedRequest(texts=["secret"])))
        await until(lambda: told(logged, "call_answered"))  # which is told behind the answer
    assert [event["event"] for event in logged] == ["call_failed", "call_answered"]
    assert (refusal.code, refusal.reason) == (StatusCode.INTERNAL, "INTERNAL_ERROR")
    assert "division" not in refusal.message


async def test_a_method_that_there_is_not_is_unimplemented(caller: Caller) -> None:
    refusal = await refused(caller.channel.unary_unary("/embedd.v1.Embedder/Nothing")(b""))
    assert refusal.code is StatusCode.UNIMPLEMENTED


async def test_calls_are_counted_by_method_and_status(caller: Caller, client: TestClient[Any, Any]) -> None:
    await caller.embedder.Embed(EmbedRequest(texts=["x"]))
    await refused(caller.index.Search(SearchRequest(collection="gone", query="x")))
    page = await (await client.get("/metrics")).text()
    assert 'embedd_grpc_calls_total{method="embedd.v1.Embedder/Embed",status="OK"}' in page
    assert 'embedd_grpc_calls_total{method="embedd.v1.Index/Search",status="NOT_FOUND"}' in page
    assert 'embedd_grpc_call_seconds_count{method="embedd.v1.Embedder/Embed"}' in page


async def test_at_the_end_what_was_read_is_answered_and_streams_end_properly(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone(monkeypatch)
    embed, began, held = Embedder.embed, asyncio.Semaphore(0), asyncio.Event()

    async def slow(self: Embedder, *inputs: Any, **options: Any) -> Any:
        began.release()
        await held.wait()
        return await embed(self, *inputs, **options)

    monkeypatch.setattr(Embedder, "embed", slow)
    async with open_server(services, LOOPBACK, 0) as server, open_caller(server.address) as caller:
        call = caller.embedder.Embed(EmbedRequest(texts=["x"]))
        stream = caller.embedder.EmbedStream()
        await stream.write(EmbedStreamRequest(batch=EmbedRequest(texts=["y"])))
        pending = asyncio.ensure_future(call)
        for _ in range(2):
            await began.acquire()
        stopping = asyncio.ensure_future(server.stop(30.0))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(stopping), 0.1)
        assert not stopping.done()
        held.set()
        assert rows_of(await pending).shape == (1, 64)
        assert rows_of((await stream.read()).batch).shape == (1, 64)
        refusal = await refused(stream.read())
        assert (refusal.code, refusal.reason) == (StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        await asyncio.wait_for(stopping, 20)


async def test_what_outlasts_the_drain_is_cancelled(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone(monkeypatch)
    began = asyncio.Event()

    async def hang(*_: object, **__: object) -> None:
        began.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Embedder, "embed", hang)
    async with open_server(services, LOOPBACK, 0) as server, open_caller(server.address) as caller:
        pending = asyncio.ensure_future(caller.embedder.Embed(EmbedRequest(texts=["x"])).code())
        await began.wait()
        await asyncio.wait_for(server.stop(0.1), 20)
        assert await pending in (StatusCode.CANCELLED, StatusCode.UNAVAILABLE)


async def test_a_port_that_is_taken_is_told(services: Services, address: str, monkeypatch: Any) -> None:
    alone(monkeypatch)
    port = int(address.rpartition(":")[2])
    with pytest.raises(OSError, match=f"{port}.*choose another port with --grpc-port, or 0 for none"):
        async with open_server(services, LOOPBACK, port):
            pass
