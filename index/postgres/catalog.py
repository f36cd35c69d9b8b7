"""All collections of a PostgreSQL that several services share.

Each service has a picture of the collections and their aliases, which is drawn anew when another one says
that something has changed, after each change of its own, and before it says that a collection is not there.
The database is the registry: a collection is there when its row is, which comes and goes with its tables.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import structlog

from index.collection_settings import check_name, check_settings
from index.errors import CollectionNotFound, StoreError
from index.postgres import registry
from index.postgres.collection import PostgresCollection
from index.postgres.database import Database, Reader
from index.postgres.leases import LEASE_S, PostgresLeases
from index.postgres.notices import Listener
from index.postgres.opening import open_replica
from index.postgres.readers import Replicated
from index.postgres.registry import Entry
from index.postgres.upkeep import Upkeep
from index.rows import CollectionSettings
from index.together import beside

# How old the picture may be while nobody tells of changes.
_OLD_S: Final = 1.0


class PostgresCatalog:
    """Made by ``open_postgres_catalog``; implements ``index.catalogs.Collections``, where the methods are
    described.
    """

    def __init__(
        self, database: Database, stale: Reader, spool: Path, holder: str, leases: PostgresLeases
    ) -> None:
        self._database = database
        self._stale = stale
        self._spool = spool
        self._holder = holder
        self._leases = leases
        self._collections: dict[str, PostgresCollection] = {}
        self._aliases: dict[str, str] = {}
        self._listener = Listener(database.address, self._note, self._give_up)
        self._noted = asyncio.Event()
        # One picture is drawn at a time; who asks while one is drawn needs the next, and shares it.
        self._drawing = asyncio.Lock()
        self._asked = 0
        self._drawn = 0
        self._drawn_at = 0.0
        # Up to which of those who asked the picture could not be drawn, and why.
        self._failed: tuple[int, StoreError] | None = None

    def names(self) -> list[str]:
        return sorted(self._collections)

    @property
    def aliases(self) -> Mapping[str, str]:
        return self._aliases

    @property
    def leases(self) -> PostgresLeases:
        return self._leases

    def collections(self) -> list[PostgresCollection]:
        """All of the picture."""
        return list(self._collections.values())

    async def resolve(self, name: str) -> str:
        if name not in self._collections and name not in self._aliases:
            await self.refresh()
        return self._aliases.get(name, name)

    async def get(self, name: str) -> PostgresCollection:
        found = None if self._is_old() else self._find(name)
        if found is None:
            await self.refresh()
            found = self._find(name)
        if found is None:
            raise CollectionNotFound(name)
        return found

    def _find(self, name: str) -> PostgresCollection | None:
        return self._collections.get(self._aliases.get(name, name))

    def _is_old(self) -> bool:
        """Whether nobody may have told of what has changed since."""
        age_s = asyncio.get_running_loop().time() - self._drawn_at
        return not self._listener.is_listening and age_s > _OLD_S

    async def create(self, settings: CollectionSettings) -> tuple[PostgresCollection, bool]:
        check_settings(settings)
        is_new = await registry.create(self._database, settings)
        return await self._changed(settings.name), is_new

    async def drop(self, name: str) -> None:
        await registry.drop(self._database, name)
        if collection := self._collections.pop(name, None):
            collection.close()
        await self.refresh()

    async def assign(self, alias: str, name: str) -> bool:
        check_name(alias)
        is_new = await registry.assign(self._database, alias, name)
        await self.refresh()
        return is_new

    async def switch(self, aliases: Sequence[str], old: str, new: str) -> None:
        await registry.switch(self._database, aliases, old, new)
        await self.refresh()

    async def unassign(self, alias: str) -> bool:
        was_there = await registry.unassign(self._database, alias)
        await self.refresh()
        return was_there

    async def _changed(self, name: str) -> PostgresCollection:
        await self.refresh()
        try:
            return self._collections[name]
        except KeyError:  # another has dropped it since
            raise CollectionNotFound(name) from None

    async def refresh(self) -> None:
        self._asked += 1
        wanted = self._asked
        async with self._drawing:
            if self._drawn >= wanted:
                return
            if self._failed is not None and self._failed[0] >= wanted:
                raise self._failed[1]
            asked, started = self._asked, asyncio.get_running_loop().time()
            try:
                self._draw(await registry.entries(self._database))
            except StoreError as error:
                self._failed = asked, error
                raise
            self._drawn, self._drawn_at = asked, started

    def _draw(self, entries: Sequence[Entry]) -> None:
        before = {collection.tables.key: collection for collection in self._collections.values()}
        self._collections = {}
        for entry in entries:
            known = before.pop(entry.tables.key, None)
            if known is None:
                known = self._opened(entry)
            known.know_description(entry.settings.description)
            self._collections[entry.settings.name] = known
        self._aliases = {alias: entry.settings.name for entry in entries for alias in entry.aliases}
        for gone in before.values():
            gone.close()

    def _opened(self, entry: Entry) -> PostgresCollection:
        return PostgresCollection(
            self._database,
            self._stale,
            entry.tables,
            entry.settings,
            secret=entry.secret,
            holder=self._holder,
            spool=self._spool,
        )

    def _note(self) -> None:
        self._noted.set()

    async def _give_up(self) -> None:
        """Nobody waits for a server that has fallen silent."""
        await self._database.give_up()
        await self._leases.give_up()

    async def follow(self) -> None:
        """Draw the picture anew whenever another service has changed something; until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listener.run())
            while True:
                await self._noted.wait()
                self._noted.clear()
                try:
                    await self.refresh()
                except StoreError as error:  # the listener hears of it as well, and begins again
                    structlog.get_logger().warning("catalog_not_read", reason=str(error))

    def close(self) -> None:
        """Let nobody use a collection any more."""
        for collection in self._collections.values():
            collection.close()


@asynccontextmanager
async def open_postgres_catalog(
    database: Database,
    spool: Path,
    replicas: Sequence[str] = (),
    *,
    control: Database | None = None,
    lease_s: float = LEASE_S,
    upkeep: Upkeep | None = None,
) -> AsyncIterator[PostgresCatalog]:
    """The catalog in ``database``; files that wait for jobs are brought to ``spool`` when they are read.
    Searches ask the ``replicas``, URLs of others that follow it, while they can answer. Leases go by
    ``control``, the same database by connections that searches cannot take up, if it is given.

    Raises:
        DatabaseUnusable: a replica's URL is none.
        StorageFailed: the database cannot be read.
    """
    holder = uuid.uuid4().hex
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(open_replica(url, database)) for url in replicas]
        replicated = Replicated(database, others)
        stale: Reader = replicated if others else database
        leases = PostgresLeases(control or database, holder, lease_s)
        catalog = PostgresCatalog(database, stale, spool, holder, leases)
        await catalog.refresh()
        stack.callback(catalog.close)
        keeping = (upkeep or Upkeep()).run(database, catalog.collections)
        async with beside(catalog.follow(), keeping, replicated.watch(), name="postgres-catalog"):
            yield catalog
