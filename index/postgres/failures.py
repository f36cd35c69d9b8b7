"""What asyncpg and the network raise, in the store's own words. Messages name no password."""

from typing import Final

import asyncpg

from index.errors import StorageFailed, StorageFull, StoreError, StoreUnavailable

# A connection that the server ends just as it is used may come to be in a state that asyncpg does not expect.
_CLIENT_ERRORS: Final = (asyncpg.InterfaceError, asyncpg.InternalClientError)
DATABASE_ERRORS: Final = (asyncpg.PostgresError, *_CLIENT_ERRORS, OSError)
"""All that a connection can raise because of the server or of the way to it; TimeoutError is among them."""

LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    *_CLIENT_ERRORS,
    ConnectionError,
)
"""The connection ended; the server may be well, and whether it did the last it was told is not known."""

_AWAY: Final = (*LOST, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError, OSError)
_RETRY: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError)


def translate(error: BaseException, where: str) -> StoreError:
    """The store's error for one of ``DATABASE_ERRORS`` of the server at ``where``."""
    state = getattr(error, "sqlstate", None) or type(error).__name__
    match error:
        case asyncpg.ReadOnlySQLTransactionError():
            return StoreUnavailable(
                f"{where} takes no writes: it is a standby, or was told to be read only", retry_after_s=5.0
            )
        case asyncpg.DiskFullError():
            return StorageFull(f"no space is left for the database at {where}; free some and try again")
        case TimeoutError():
            return StoreUnavailable(f"{where} did not answer in time")
        case _ if isinstance(error, _AWAY):
            return StoreUnavailable(f"{where} cannot be reached: {_reason(error)} [{state}]")
        case _ if isinstance(error, _RETRY):
            return StoreUnavailable(f"{where} was asked for the same by another: {error} [{state}]")
        case _:
            return StorageFailed(f"{where} refused: {error} [{state}]")


def _reason(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
