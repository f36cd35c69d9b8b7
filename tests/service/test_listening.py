"""The door: who came in time is served, who comes later is not."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator

import pytest
import trustme
from aiohttp import web

from api.http.draining import Drain
from api.http.listening import Listener, open_listener

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"


@pytest.fixture
def drain() -> Drain:
    return Drain()


@pytest.fixture
async def runner(drain: Drain) -> AsyncIterator[web.AppRunner]:
    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application(middlewares=[drain.follow])
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    yield runner
    await runner.cleanup()


@pytest.fixture
async def listener(runner: web.AppRunner) -> AsyncIterator[Listener]:
    async with open_listener(runner, "127.0.0.1", 0) as listener:
        yield listener


async def answer_on(connection: socket.socket) -> bytes:
    connection.setblocking(False)
    received = b""
    while part := await asyncio.get_running_loop().sock_recv(connection, 1 << 16):
        received += part
    return received


async def test_a_request_that_waits_when_the_door_closes_is_answered(
    runner: web.AppRunner, listener: Listener, drain: Drain
) -> None:
    # Nothing is awaited until the door closes: the system alone has taken the connection.
    with socket.create_connection(runner.addresses[0]) as connection:
        connection.sendall(REQUEST)
        await listener.close()
        answer, _ = await asyncio.gather(answer_on(connection), drain.finish(20))
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"hello")


async def test_who_comes_when_it_is_closed_is_refused(runner: web.AppRunner, listener: Listener) -> None:
    address = runner.addresses[0]
    await listener.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


async def test_a_connection_whose_request_comes_a_moment_later_is_waited_for(
    runner: web.AppRunner, listener: Listener, drain: Drain
) -> None:
    with socket.create_connection(runner.addresses[0]) as connection:
        await listener.close()
        ending = asyncio.create_task(drain.finish(20))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not ending.done()
        connection.sendall(REQUEST)
        assert (await answer_on(connection)).endswith(b"hello")
        await ending


async def test_every_address_of_a_host_is_listened_on(runner: web.AppRunner) -> None:
    async with open_listener(runner, "localhost", 0):
        assert runner.addresses
        for address in runner.addresses:
            socket.create_connection(address[:2]).close()


async def test_a_host_that_is_not_here_is_refused(runner: web.AppRunner) -> None:
    with pytest.raises(OSError, match=r"192\.0\.2\.1"):
        async with open_listener(runner, "192.0.2.1", 0):
            pass


async def test_who_waits_and_speaks_no_tls_keeps_nobody_from_being_served(
    runner: web.AppRunner, drain: Drain
) -> None:
    authority = trustme.CA()
    ours, theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(ours)
    authority.configure_trust(theirs)
    async with open_listener(runner, "127.0.0.1", 0, tls=ours) as listener:
        # Both are taken by the system alone.
        garbled, fine = (socket.create_connection(runner.addresses[0]) for _ in range(2))
        with garbled:
            garbled.sendall(b"this is no handshake\r\n\r\n")
            fine.setblocking(False)
            closing = asyncio.create_task(listener.close())
            reader, writer = await asyncio.open_connection(sock=fine, ssl=theirs, server_hostname="localhost")
            writer.write(REQUEST)
            await closing
            answer, _ = await asyncio.gather(reader.read(), drain.finish(20))
            writer.close()
    assert answer.endswith(b"hello")
