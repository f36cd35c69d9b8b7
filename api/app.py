"""The composition root: makes the parts of a service, wires them, serves until told to stop.

This is the one place where everything meets. Parts are opened in the order they need each other and closed
in reverse: HTTP stops taking requests and drains, jobs are parked, the collections write their snapshots,
the model workers end.
"""

import asyncio
import importlib
import math
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import structlog
import uvloop
from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics

from api.http.cors import Cors
from api.http.draining import Drain
from api.http.fetching import fetch
from api.http.listening import Listener, open_listener
from api.http.measuring import RequestMetrics
from api.http.middleware import answer_errors, identify, stamp
from api.http.quota_headers import quota_stamp
from api.http.routing import serve_route
from api.http.tracing import follow
from api.http.uploads import open_spool
from api.live_settings import LiveSettings
from api.reloading import Reloader
from api.roles import open_role, routes_of
from api.security.gate import open_gate
from api.security.tls import tls_context
from api.services.answer import Answerer
from api.services.complete import Completer
from api.services.container import Services
from api.services.conversations import open_kept_conversations
from api.services.counting import TokenCounter
from api.services.evidence import EvidenceReader
from api.services.follow_up import FollowUps
from api.services.foundation import Groundwork
from api.services.ingest import Ingestor
from api.services.jobs import open_jobs
from api.services.live_answers import open_live_answers
from api.services.model_registry import open_model_registry
from api.services.models import open_models
from api.services.parse import ParserLimits, open_parser
from api.services.readiness import Readiness
from api.services.reembed import Reembedder
from api.services.retrieve import Retriever
from api.services.vitals import tell_vitals
from api.settings import Settings, SettingsError
from api.signals import Signals
from api.storage import open_storage
from api.telemetry import configure_logging
from api.tracing import open_tracing
from api.ui.assets import load_assets
from embedd.ownership import beside
from index.errors import StoreError

if TYPE_CHECKING:
    from api.grpc.server import GrpcServer

log = structlog.get_logger()

_CANCEL_TIMEOUT_S = 1.0
"""For requests that outlast the drain: to be cancelled and clean up."""


def run(settings: Settings, read_again: Callable[[], Settings]) -> int:
    """Serve until SIGTERM or SIGINT; answers the exit status, 1 if the service could not start. At SIGHUP the
    settings are those of ``read_again``, as far as that is possible.
    """
    configure_logging(settings.log_level, settings.log_format)
    disable_created_metrics()  # type: ignore[no-untyped-call] # twice the series, to say when it started
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, read_again))
    except (SettingsError, StoreError, OSError) as error:
        log.error("service_not_started", reason=str(error))  # noqa: TRY400 - the reason is enough
        return 1
    return 0


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Everything behind the routes, ready for requests; models may still be loading.

    Raises:
        SettingsError: a setting needs an extra that is not installed, or strangers would be served.
        StoreError: the data folder is in use, too new, or cannot be read.
    """
    async with open_role(settings) as own, _open_parts(own) as services:
        yield services


@asynccontextmanager
async def _open_parts(settings: Settings) -> AsyncIterator[Services]:
    metrics = CollectorRegistry()
    ProcessCollector(registry=metrics)
    async with (
        open_tracing(settings) as tracing,
        open_models(settings, metrics) as models,
        open_storage(settings) as storage,
        open_model_registry(models, storage.catalog, storage.models) as registry,
        open_parser(_parser_limits(settings)) as parser,
    ):
        await asyncio.to_thread(
            open_spool, settings.data
        )  # of this service alone, now that it has the folder
        catalog = storage.catalog
        ingestor = Ingestor(models, parser)
        retriever, counter = Retriever(models), TokenCounter(models)
        groundwork = Groundwork(retriever, EvidenceReader(models), counter)
        reembedder = Reembedder(catalog, models)
        async with (
            open_kept_conversations(
                storage.conversations,
                counter,
                budget_tokens=settings.conversation_tokens,
                lasts_s=settings.conversation_ttl_s,
            ) as conversations,
            open_jobs(catalog, ingestor, reembedder) as jobs,
            open_live_answers(settings.resume_grace_s) as live_answers,
            open_gate(settings, storage.keys, storage.quotas, fetch) as gate,
        ):
            readiness = Readiness(models, storage.watches)
            tell_vitals(metrics, readiness, storage)
            yield Services(
                live=LiveSettings(settings),
                models=models,
                registry=registry,
                catalog=catalog,
                ingestor=ingestor,
                retriever=retriever,
                answerer=Answerer(models, groundwork, counter),
                conversations=conversations,
                follow_ups=FollowUps(models),
                live_answers=live_answers,
                completer=Completer(models, counter),
                jobs=jobs,
                reembedder=reembedder,
                readiness=readiness,
                metrics=metrics,
                tracing=tracing,
                assets=load_assets(),
                gate=gate,
            )


def _parser_limits(settings: Settings) -> ParserLimits:
    return ParserLimits(
        timeout_s=settings.parse_timeout_s,
        cpu_s=math.ceil(settings.parse_timeout_s),
        memory_bytes=settings.parse_memory_bytes,
        input_bytes=settings.max_file_bytes,
        output_characters=settings.parse_output_bytes,
    )


def build_app(services: Services) -> web.Application:
    """The HTTP application over ``services``."""
    cors = Cors(lambda: services.settings.allowed_origins)
    tracing = () if services.tracing is None else (follow(services.tracing),)
    app = web.Application(
        middlewares=[
            RequestMetrics(services.metrics).measure,
            *tracing,
            identify,
            cors.answer_preflight,
            answer_errors,
        ],
        client_max_size=services.settings.max_json_bytes,
    )
    app.on_response_prepare.append(stamp)
    app.on_response_prepare.append(cors.stamp)
    app.on_response_prepare.append(quota_stamp(services.gate.quotas))
    for route in routes_of(services.settings):
        app.router.add_route(route.method, route.path, serve_route(route, services))
    return app


async def _serve(settings: Settings, read_again: Callable[[], Settings]) -> None:
    signals, tls = Signals(), tls_context(settings)
    signals.listen()
    async with open_services(settings) as services:
        app, drain = build_app(services), Drain()
        app.middlewares.insert(0, drain.follow)
        runner = web.AppRunner(
            app,
            access_log=None,
            handler_cancellation=True,
            keepalive_timeout=settings.idle_timeout_s,
            shutdown_timeout=_CANCEL_TIMEOUT_S,
        )
        await runner.setup()
        services.readiness.begin()
        try:
            async with (
                open_listener(runner, settings.host, settings.port, tls=tls) as listener,
                _open_grpc(services) as grpc,
            ):
                services.readiness.open()
                log.info(
                    "service_started",
                    url=_url(runner, tls),
                    grpc=None if grpc is None else grpc.address,
                    pid=os.getpid(),
                    role=settings.role,
                    data=str(settings.data),
                )
                reloader = Reloader(services, read_again, listener, grpc)
                async with beside(reloader.whenever(signals.reload)):
                    await signals.stop.wait()
                services.readiness.close()
                services.live_answers.close()
                timeout_s = services.settings.drain_timeout_s
                log.info("service_stopping", drain_timeout_s=timeout_s)
                async with asyncio.TaskGroup() as ending:
                    ending.create_task(_drain_http(listener, drain, timeout_s))
                    if grpc is not None:
                        ending.create_task(grpc.stop(timeout_s))
        finally:
            await runner.cleanup()
    log.info("service_stopped")


async def _drain_http(listener: Listener, drain: Drain, timeout_s: float) -> None:
    with suppress(TimeoutError):  # of connections that are still being made
        async with asyncio.timeout(timeout_s):
            await listener.close()
            await drain.finish(timeout_s)


@asynccontextmanager
async def _open_grpc(services: Services) -> AsyncIterator["GrpcServer | None"]:
    """The server beside HTTP, or None where it is off: then its libraries are not even loaded. That takes a
    quarter of a second, in which HTTP is answered.
    """
    settings = services.settings
    if not settings.grpc_port:
        yield None
        return
    server = await asyncio.to_thread(importlib.import_module, "api.grpc.server")
    async with server.open_server(services, settings.host, settings.grpc_port) as grpc:
        yield grpc


def _url(runner: web.AppRunner, tls: ssl.SSLContext | None) -> str:
    host, port = runner.addresses[0][:2]
    scheme = "http" if tls is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
