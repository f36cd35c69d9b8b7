"""What of the bench of stores can be held to what is known: an address that moves, and its goals."""

import asyncio

import numpy as np

import stores
from harness.forwarder import open_forwarder
from harness.store_searches import nearest


async def test_a_forwarder_leads_where_its_target_is_now() -> None:
    async with await _server(b"old") as old, await _server(b"new") as new, open_forwarder(_port(old)) as way:
        assert await _said(way.port) == b"old"
        way.target = _port(new)
        assert await _said(way.port) == b"new"


async def test_without_a_server_behind_it_a_connection_ends_at_once() -> None:
    async with await _server(b"gone") as server, open_forwarder(_port(server)) as way:
        server.close()
        await server.wait_closed()
        assert await _said(way.port) == b""


def test_the_nearest_rows_are_those_of_numpy() -> None:
    rows = np.eye(12, dtype=np.float32)
    assert nearest(rows, rows[3:4])[0][0] == 3
    assert len(nearest(rows, rows[3:4])[0]) == 10


def test_goals_are_held_to_what_was_measured_and_to_nothing_else() -> None:
    found = {"lost": 1, "doubled": 0, "acknowledged_again_s": 3.0}
    rates = {"rows_per_s": 90.0, "compared_rows_per_s": 1.0, "bare_rows_per_s": 100.0}
    figures = {"failover": found, "copy": dict.fromkeys((stores.PGVECTOR, stores.MILVUS), rates)}
    met = {goal.name: goal.is_met for goal in stores.goals_of(figures)}
    assert met == {
        "copied to pgvector": False,
        "copied to Milvus, of the bare client's": True,
        "failover": True,
        "failover: lost": False,
        "failover: doubled": True,
    }


async def _server(word: bytes) -> asyncio.Server:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(word)
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


def _port(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


async def _said(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = await reader.read()
    writer.close()
    return said
