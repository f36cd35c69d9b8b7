"""The connection to a Milvus: the few calls that are needed, each within a time limit, and whatever goes
wrong there as ``VectorsUnavailable``.

It knows nothing of collections but their names and ``Shape``. Nothing is tried again here: who calls knows
what else there is to do.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import numpy as np

from index.errors import InvalidSettings, StorageFailed, VectorsUnavailable
from index.milvus.shape import Shape
from index.rows import Vector

try:
    from pymilvus import AsyncMilvusClient, DataType, MilvusException
except ImportError as error:
    raise StorageFailed("vectors in Milvus need the extra 'milvus': pip install 'embedd[milvus]'") from error

T = TypeVar("T")

TIMEOUT_S: Final = 10.0
# Making and loading collections moves files about on the server.
_SLOW_TIMEOUT_S: Final = 60.0
# Milvus answers no search for more rows.
MOST_FOUND: Final = 16_384
# It would wait for up to two minutes before it tries again.
_RECONNECTING: Final = {"grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 1_000}
_M: Final = 16
_EF_CONSTRUCTION: Final = 200
# How many candidates the graph holds; more where more are asked for.
_LEAST_EF: Final = 64


@dataclass(frozen=True, slots=True)
class Near:
    """A row that a search found: its primary key, and how near it is as Milvus counts."""

    key: str
    score: float


class Milvus:
    """Made by ``open_milvus``. ``reason`` says why the last call failed; it is empty if it did not."""

    def __init__(self, client: AsyncMilvusClient, address: str) -> None:
        self._client = client
        self._address = address
        self._connecting = asyncio.Lock()
        self._is_lite = False
        self.reason = ""

    async def ping(self) -> None:
        """Raises:
        VectorsUnavailable: it does not answer.
        """
        version: str = await self._call(self._client.get_server_version)
        self._is_lite = "lite" in version

    async def has(self, place: str) -> bool:
        """Whether there is a collection of that name."""
        there: bool = await self._call(self._client.has_collection, place)
        return there

    async def create(self, place: str, shape: Shape) -> None:
        """Make a collection, ready to be searched; one that somebody else made meanwhile is as good."""
        schema = self._schema(shape)
        try:
            await self._call(
                self._client.create_collection, place, schema=schema, consistency_level="Session"
            )
        except VectorsUnavailable:
            if not await self.has(place):
                raise
        for index in self._indexes(shape):
            try:
                await self._call(self._client.create_index, place, index, limit_s=_SLOW_TIMEOUT_S)
            except VectorsUnavailable:
                # There is an index then, but Milvus Lite cannot say so.
                if not self._is_lite:
                    raise
        await self.load(place)

    async def load(self, place: str) -> None:
        """Have a collection ready to be searched, also after the server was started again."""
        await self._call(self._client.load_collection, place, limit_s=_SLOW_TIMEOUT_S)

    async def drop(self, place: str) -> None:
        """Remove a collection, if it is there."""
        await self._call(self._client.drop_collection, place, limit_s=_SLOW_TIMEOUT_S)

    async def upsert(self, place: str, rows: Sequence[dict[str, Any]]) -> None:
        """Write rows, each in the place of one that has its primary key."""
        if rows:
            await self._call(self._client.upsert, place, list(rows), limit_s=_SLOW_TIMEOUT_S)

    async def delete(self, place: str, expression: str) -> None:
        """Delete the rows for which it holds."""
        await self._call(self._client.delete, place, filter=expression, limit_s=_SLOW_TIMEOUT_S)

    async def rows(self, place: str, expression: str, fields: Sequence[str]) -> list[dict[str, Any]]:
        """These fields of the rows for which it holds, as of now."""
        found = await self._call(
            self._client.query,
            place,
            filter=expression,
            output_fields=list(fields),
            consistency_level="Strong",
        )
        return [dict(row) for row in found]

    async def count(self, place: str, expression: str) -> int:
        """How many rows it holds for."""
        fields = ["count(*)"]
        found = await self._call(self._client.query, place, filter=expression, output_fields=fields)
        return int(found[0]["count(*)"])

    async def search(self, place: str, vectors: Vector, limit: int, expression: str) -> list[list[Near]]:
        """Up to ``limit`` rows nearest to each of ``vectors`` (n, dim), of those for which it holds."""
        found = await self._call(
            self._client.search,
            place,
            data=list(np.ascontiguousarray(vectors)),
            anns_field="vector",
            filter=expression,
            limit=min(limit, MOST_FOUND),
            search_params={"params": {"ef": max(_LEAST_EF, min(limit, MOST_FOUND))}},
        )
        return [[Near(hit["key"], hit["distance"]) for hit in hits] for hits in found]

    async def _call(
        self,
        method: Callable[..., Awaitable[T]],
        *arguments: Any,
        limit_s: float | None = None,
        **options: Any,
    ) -> T:
        limit_s = TIMEOUT_S if limit_s is None else limit_s
        try:
            async with asyncio.timeout(limit_s):
                await self._connected()
                # It would try for minutes.
                answer = await method(*arguments, retry_times=0, **options)
        except TimeoutError as error:
            raise self._unavailable(f"no answer within {limit_s:g} s") from error
        except Exception as error:  # its own errors, those of gRPC, and those of the system
            raise self._unavailable(_words(error)) from error
        self.reason = ""
        return answer

    async def _connected(self) -> None:
        async with self._connecting:
            await self._client._connect()  # noqa: SLF001 - two first calls at once would connect twice

    def _unavailable(self, why: str) -> VectorsUnavailable:
        self.reason = f"Milvus at {self._address}: {why}"
        return VectorsUnavailable(self.reason)

    def _schema(self, shape: Shape) -> Any:
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        for place, field in enumerate(shape.fields):
            limits = {key: _type(value) for key, value in field.limits.items()}
            schema.add_field(field.name, _type(field.type), is_primary=place == 0, **limits)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=shape.dim)
        return schema

    def _indexes(self, shape: Shape) -> Iterator[Any]:
        graph = {"M": _M, "efConstruction": _EF_CONSTRUCTION}
        yield self._index("vector", index_type="HNSW", metric_type=shape.metric, params=graph)
        for field in shape.fields:
            # Milvus Lite has no index over arrays.
            if field.inverted and not (self._is_lite and field.type == "ARRAY"):
                yield self._index(field.name, index_type="INVERTED")

    def _index(self, field: str, **options: Any) -> Any:
        index = self._client.prepare_index_params()
        index.add_index(field, **options)
        return index


@asynccontextmanager
async def open_milvus(url: str) -> AsyncIterator[Milvus]:
    """The Milvus at ``http[s]://[user:password@]host[:port][/database]``; it need not be there yet.

    Raises:
        InvalidSettings: it is no such URL.
    """
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise InvalidSettings(f"a Milvus is named as http://host:port, not as {_without_password(url)!r}")
    # It writes a traceback for every error that it raises.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    client = AsyncMilvusClient(uri=url, timeout=TIMEOUT_S, dedicated=True, grpc_options=_RECONNECTING)
    try:
        yield Milvus(client, f"{parts.hostname}:{port or 19530}")
    finally:
        with suppress(MilvusException):
            await client.close()


def _type(value: Any) -> Any:
    return getattr(DataType, value) if isinstance(value, str) else value


def _words(error: Exception) -> str:
    """What went wrong, on one line."""
    details = getattr(error, "details", None)
    told = details() if callable(details) else getattr(error, "message", None) or str(error)
    # Before the message it says how often it tried, which is once.
    return " ".join(str(told).rpartition(" message=")[2].split()) or type(error).__name__


def _without_password(url: str) -> str:
    return url.rpartition("@")[2]
