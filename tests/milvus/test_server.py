"""The connection: what is no Milvus is told from one that is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from index.errors import InvalidSettings, VectorsUnavailable
from index.milvus import server
from index.milvus.catalog import open_milvus_catalog
from index.milvus.server import open_milvus


@asynccontextmanager
async def _listening(answer: bytes | None) -> AsyncIterator[str]:
    """Something that gives this answer to whoever connects, or none at all."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer is None:
            await reader.read()
        else:
            await reader.read(1)
            writer.write(answer)
        writer.close()

    listener = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    "url", ["milvus", "postgresql://host/db", "http://", "http://host:port", "./some.db"]
)
async def test_what_is_no_url_of_a_milvus_is_refused_at_once(url: str) -> None:
    with pytest.raises(InvalidSettings, match="http://host:port"):
        async with open_milvus(url):
            pass


async def test_a_password_is_not_told() -> None:
    with pytest.raises(InvalidSettings) as caught:
        async with open_milvus("ftp://user:secret@host"):
            pass
    assert "secret" not in str(caught.value)


async def test_nobody_who_listens_is_told() -> None:
    async with open_milvus("http://user:secret@127.0.0.1:1") as milvus:
        with pytest.raises(VectorsUnavailable, match=r"Milvus at 127\.0\.0\.1:1: ") as caught:
            await milvus.ping()
        assert milvus.reason == str(caught.value)
        assert "secret" not in milvus.reason


async def test_somebody_who_is_no_milvus_is_told() -> None:
    async with _listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as url, open_milvus(url) as milvus:
        with pytest.raises(VectorsUnavailable):
            await milvus.ping()


async def test_a_server_that_does_not_answer_is_waited_for_no_longer_than_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "TIMEOUT_S", 0.05)
    async with _listening(None) as url, open_milvus(url) as milvus:
        with pytest.raises(VectorsUnavailable, match=r"no answer within 0\.05 s"):
            await milvus.ping()


async def test_a_server_that_answers_again_has_no_fault(milvus_url: str) -> None:
    async with open_milvus(milvus_url) as milvus:
        with pytest.raises(VectorsUnavailable, match="nowhere"):
            await milvus.count("nowhere", "moment >= 0")
        assert milvus.reason
        await milvus.ping()
        assert milvus.reason == ""


async def test_a_prefix_that_milvus_does_not_take_is_refused() -> None:
    with pytest.raises(InvalidSettings, match="begin with"):
        async with open_milvus_catalog(None, "http://127.0.0.1:1", prefix="1-"):  # type: ignore[arg-type]
            pass
