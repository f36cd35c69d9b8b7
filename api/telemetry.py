"""Sets up logging once per process: structlog events and the standard library's leave as the same lines.

Lines go to standard error, one JSON object each (in the field names of ``ecs``) or as text for a person;
timestamps are UTC. Values bound with ``structlog.contextvars`` (the ids of the request and its trace) are on
every line. Tracebacks never show local variables, because those hold the texts of documents and questions.
Libraries speak from WARNING on, unless the level is debug.

What it does not know: what is logged. The one line per request is written by the HTTP middleware.
"""

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from api.ecs import EcsFields, describe_exception
from api.setting_types import LogFormat, LogLevel


def configure_logging(level: LogLevel, log_format: LogFormat) -> None:
    """Send every event of at least ``level`` to standard error, in place of what was set up before."""
    stream = sys.stderr
    threshold = logging.getLevelNamesMapping()[level.upper()]
    before, rendering = _before_rendering(), _rendering(log_format, stream)
    structlog.configure(
        processors=[*before, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,  # a cached logger would keep writing to the stream of the first call
    )
    _route_standard_library(threshold, before, rendering, stream)


def _before_rendering() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _rendering(log_format: LogFormat, stream: TextIO) -> list[Processor]:
    if log_format == "console" or (log_format == "auto" and stream.isatty()):
        return [_console(colors=stream.isatty())]
    return [
        structlog.processors.StackInfoRenderer(),
        structlog.processors.ExceptionRenderer(describe_exception),
        EcsFields(),
        structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
    ]


def _console(*, colors: bool) -> Processor:
    # The package's default traceback shows local variables.
    return structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)


def _route_standard_library(
    threshold: int, before: list[Processor], rendering: list[Processor], stream: TextIO
) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*before, structlog.stdlib.PositionalArgumentsFormatter(), _add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold if threshold <= logging.DEBUG else max(threshold, logging.WARNING))
    logging.captureWarnings(capture=True)


def _add_logger_name(logger: WrappedLogger, method_name: str, event: EventDict) -> EventDict:  # noqa: ARG001
    """Which library spoke; our own events are told apart by what they say."""
    event["logger"] = event["_record"].name
    return event
