"""Readers over databases: replicas before the primary, and those of one collection."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import asyncpg

from index.errors import CollectionNotFound, StorageFailed, StoreUnavailable
from index.postgres.database import Connection, Database, Reader, Record
from index.postgres.replica import Replica

T = TypeVar("T")


class Replicated:
    """A ``Reader`` of one replica after the other, whose answers may be a moment old; of the primary where
    none can answer. They are asked for as long as ``watch`` runs.
    """

    def __init__(self, primary: Database, replicas: Sequence[Database]) -> None:
        self._primary = primary
        self._replicas = [Replica(replica) for replica in replicas]
        self._turns = itertools.cycle(self._replicas)

    async def watch(self) -> None:
        """Know which of them are there, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for replica in self._replicas:
                group.create_task(replica.watch())

    async def fetch(self, sql: str, *arguments: Any) -> list[Record]:
        return await self.read(lambda connection: connection.fetch(sql, *arguments))

    async def row(self, sql: str, *arguments: Any) -> Record | None:
        return await self.read(lambda connection: connection.fetchrow(sql, *arguments))

    async def value(self, sql: str, *arguments: Any) -> Any:
        return await self.read(lambda connection: connection.fetchval(sql, *arguments))

    async def read(self, reading: Callable[[Connection], Awaitable[T]]) -> T:
        for _ in self._replicas:
            replica = next(self._turns)
            if not replica.is_there:
                continue
            try:
                return await replica.read(reading)
            except StoreUnavailable:
                continue
            except StorageFailed:
                break  # it may not have heard of the table yet; what is wrong the primary says as well
        return await self._primary.read(reading)


class OfCollection:
    """A ``Reader`` that says CollectionNotFound when the collection ``name`` was dropped."""

    def __init__(self, reader: Reader, name: str) -> None:
        self._reader = reader
        self._name = name
        self.is_closed = False

    async def fetch(self, sql: str, *arguments: Any) -> list[Record]:
        return await self.read(lambda connection: connection.fetch(sql, *arguments))

    async def row(self, sql: str, *arguments: Any) -> Record | None:
        return await self.read(lambda connection: connection.fetchrow(sql, *arguments))

    async def value(self, sql: str, *arguments: Any) -> Any:
        return await self.read(lambda connection: connection.fetchval(sql, *arguments))

    async def read(self, reading: Callable[[Connection], Awaitable[T]]) -> T:
        if self.is_closed:
            raise CollectionNotFound(self._name)
        try:
            return await self._reader.read(reading)
        except StorageFailed as error:
            if isinstance(error.__cause__, asyncpg.UndefinedTableError):
                raise CollectionNotFound(self._name) from error
            raise
