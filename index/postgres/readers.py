"""Readers over databases: replicas before the primary, and those of one collection."""

import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import asyncpg

from index.errors import CollectionNotFound, StorageFailed, StoreUnavailable
from index.postgres.database import Connection, Database, Reader, Record

T = TypeVar("T")

_AWAY_S: Final = 5.0


class Replicated:
    """A ``Reader`` of one replica after the other, whose answers may be a moment old; of the primary where
    none can answer.
    """

    def __init__(self, primary: Database, replicas: Sequence[Database]) -> None:
        self._primary = primary
        self._replicas = replicas
        self._turns = itertools.cycle(range(len(replicas)))
        self._away_until = [0.0] * len(replicas)

    async def fetch(self, sql: str, *arguments: Any) -> list[Record]:
        return await self.read(lambda connection: connection.fetch(sql, *arguments))

    async def row(self, sql: str, *arguments: Any) -> Record | None:
        return await self.read(lambda connection: connection.fetchrow(sql, *arguments))

    async def value(self, sql: str, *arguments: Any) -> Any:
        return await self.read(lambda connection: connection.fetchval(sql, *arguments))

    async def read(self, reading: Callable[[Connection], Awaitable[T]]) -> T:
        for _ in self._replicas:
            number = next(self._turns)
            if self._away_until[number] > time.monotonic():
                continue
            try:
                return await self._replicas[number].read(reading)
            except StoreUnavailable:
                self._away_until[number] = time.monotonic() + _AWAY_S
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
