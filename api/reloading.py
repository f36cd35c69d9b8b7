"""Reads the settings, and the files that they name, once more while the service runs.

Invariant: all of it holds, or nothing does: whatever can fail is done before anything changes. Requests that
run go on as they began.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from ssl import SSLContext
from typing import TYPE_CHECKING

import structlog

from api.http.listening import Listener
from api.live_settings import Change, change_of
from api.roles import read_again
from api.security.gate import Trusted, check_exposure, read_trusted
from api.security.tls import TlsFiles, read_tls_files, tls_context
from api.services.container import Services
from api.settings import Settings, SettingsError
from api.telemetry import configure_logging
from embedd.ownership import to_its_end

if TYPE_CHECKING:
    from api.grpc.server import GrpcServer

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What was read and can be used."""

    change: Change
    tls: SSLContext | None
    tls_files: TlsFiles | None
    trusted: Trusted


class Reloader:
    """Reloads what the parts of a running service have of its settings; ``read`` reads these again."""

    def __init__(
        self, services: Services, read: Callable[[], Settings], listener: Listener, grpc: "GrpcServer | None"
    ) -> None:
        self._services = services
        self._read = read
        self._listener = listener
        self._grpc = grpc

    async def whenever(self, asked: asyncio.Event) -> None:
        """Reload each time that it is asked for; never returns."""
        while True:
            await asked.wait()
            asked.clear()
            await self.reload()

    async def reload(self) -> None:
        """Let hold what the settings say now; what cannot be used changes nothing and is logged."""
        try:
            prepared = await asyncio.to_thread(self._prepare)
        except (SettingsError, OSError) as error:
            log.error("settings_not_reloaded", reason=str(error))  # noqa: TRY400 - the reason is enough
            return
        await to_its_end(self._apply(prepared))
        change = prepared.change
        if change.behind:
            log.warning("settings_need_restart", settings=change.behind)
        log.info("settings_reloaded", changed=change.new)

    def _prepare(self) -> _Prepared:
        now = self._services.settings
        change = change_of(now, read_again(self._read(), now))
        settings = change.settings
        tls, files, trusted = (
            tls_context(settings),
            read_tls_files(settings),
            read_trusted(settings, self._services.gate.provider),
        )
        check_exposure(settings, is_open=trusted.leaves_open(self._services.gate.keys))
        return _Prepared(change, tls, files, trusted)

    async def _apply(self, prepared: _Prepared) -> None:
        settings, services = prepared.change.settings, self._services
        services.live.now = settings
        services.gate.trusted = prepared.trusted
        configure_logging(settings.log_level, settings.log_format)
        if services.tracing is not None:
            services.tracing.sample(settings.otlp_sample_ratio)
        if prepared.tls_files is not None and self._grpc is not None:
            self._grpc.renew(prepared.tls_files)
        if prepared.tls is not None:
            await self._listener.renew(prepared.tls)
