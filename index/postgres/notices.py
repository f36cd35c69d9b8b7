"""Word from one service to the others that the collections, their aliases or descriptions have changed.

PostgreSQL's NOTIFY tells it when the change is committed. Whoever was away has missed it, and has to look for
itself: so it is told once whenever listening begins.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import asyncpg
import structlog

from index.postgres.address import Address
from index.postgres.database import CONNECT_S, Connection
from index.postgres.failures import DATABASE_ERRORS

_CHANNEL: Final = "embedd"
_RETRY_S: Final = 1.0
# A way to the server that is cut says nothing by itself.
_ASKED_EVERY_S: Final = 10.0
_ANSWERED_S: Final = 10.0


async def notify(connection: Connection) -> None:
    """Tell the others, when the transaction under way is committed."""
    await connection.execute(f"SELECT pg_notify('{_CHANNEL}', current_schema())")


class Listener:
    """For as long as ``run`` runs: calls ``heard`` for every notice, and ``silent`` when a server that was
    there says nothing any more.
    """

    def __init__(
        self, address: Address, heard: Callable[[], None], silent: Callable[[], Awaitable[None]]
    ) -> None:
        self._address = address
        self._heard = heard
        self._silent = silent
        self.is_listening = False

    async def run(self) -> None:
        """Listen until cancelled, again and again where the connection is lost."""
        while True:
            try:
                await self._listen()
            except DATABASE_ERRORS as error:
                structlog.get_logger().warning("catalog_not_heard", reason=repr(error))
                if self.is_listening and isinstance(error, TimeoutError):
                    await self._silent()
            finally:
                self.is_listening = False
            await asyncio.sleep(_RETRY_S)

    async def _listen(self) -> None:
        connection = await asyncpg.connect(
            self._address.url,
            timeout=CONNECT_S,
            command_timeout=CONNECT_S,
            server_settings={"application_name": "embedd listener"},
        )
        ended = asyncio.Event()
        connection.add_termination_listener(lambda _: ended.set())
        try:
            await connection.add_listener(_CHANNEL, self._on_notice)
            self.is_listening = True
            self._heard()
            while not ended.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), _ASKED_EVERY_S)
                    continue
                await connection.execute("SELECT 1", timeout=_ANSWERED_S)
        finally:
            connection.terminate()

    def _on_notice(self, _connection: Any, _pid: int, _channel: str, schema: object) -> None:
        if schema == self._address.schema:
            self._heard()
