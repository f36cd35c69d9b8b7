"""Clients that want the service's time or memory: each costs itself a connection, others nothing."""

import asyncio
import gzip
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from asking import expect
from real_service import Service, open_launcher

Client = TestClient[Any, Any]
Headers = dict[str, str]

MIB = 2**20


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that waits for nobody."""
    with open_launcher(tmp_path_factory.mktemp("impatient")) as launcher:
        service = launcher.launch("--idle-timeout-s", "0.2", "--body-timeout-s", "0.2", model="none")
        service.wait_until_started()
        yield service


async def answer_to(port: int, sent: bytes) -> bytes:
    """All that comes back until the service closes the connection, which this side never does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_headers_that_never_end_are_not_waited_for(impatient: Service) -> None:
    assert await answer_to(impatient.port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ") == b""


async def test_a_body_that_never_ends_is_not_waited_for(impatient: Service) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient.port)
    writer.write(b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
    answer = await reader.readuntil(b"body_too_slow")
    assert answer.startswith(b"HTTP/1.1 408")
    writer.close()


@pytest.mark.parametrize(
    "headers",
    [
        b"".join(b"X-%d: a\r\n" % number for number in range(10_000)),
        b"X-Long: " + b"a" * MIB + b"\r\n",
        b"Authorization: Bearer " + b"a" * MIB + b"\r\n",
    ],
    ids=["many", "long", "long key"],
)
async def test_floods_of_headers_are_refused(impatient: Service, headers: bytes) -> None:
    answer = await answer_to(
        impatient.port, b"GET /v1/info HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n"
    )
    assert answer == b"" or answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400")), answer[:100]
    assert (await answer_to(impatient.port, ALIVE)).startswith(b"HTTP/1.1 200")


ALIVE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "path", ["/v1/embeddings", "/v1/collections/open/documents", "/v1/collections/open/import"]
)
async def test_a_body_that_unpacks_to_too_much_is_refused(client: Client, admin: Headers, path: str) -> None:
    bomb = gzip.compress(b'{"input": "' + b" " * (64 * MIB) + b'"}', compresslevel=1)
    assert len(bomb) < MIB
    headers = admin | {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    await expect(await client.post(path, data=bomb, headers=headers), 413)


async def test_strangers_are_refused_before_their_body_is_read(client: Client) -> None:
    head = b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: 33000000\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(head)
    assert (await reader.readline()).startswith(b"HTTP/1.1 401")
    writer.close()
