"""Log events in the field names of the Elastic Common Schema, flat: ``{"log.level": "info", ...}``.

An event of ours is its own ``event.action``; a line of a library has its text as ``message`` alone. What the
schema has no name for stands under ``embedd.``, so that no value of ours ever changes the type of a common
field. Keys that have a dot already are left as they are: ``trace.id`` and ``span.id`` are bound so.

https://www.elastic.co/guide/en/ecs/current/ecs-field-reference.html
"""

import importlib.metadata
import traceback

from structlog.typing import EventDict, ExcInfo, WrappedLogger

ECS_VERSION = "8.17.0"

_NAMES = {
    "timestamp": "@timestamp",
    "level": "log.level",
    "logger": "log.logger",
    "request_id": "http.request.id",
    "method": "http.request.method",
    "path": "url.path",
    "status": "http.response.status_code",
    "remote": "client.address",
    "url": "url.full",
    "pid": "process.pid",
    "reason": "event.reason",
    "stack": "error.stack_trace",
}
_NANOSECONDS = 1_000_000  # of a millisecond


class EcsFields:
    """Renames what an event has, as the last step before it is written."""

    def __init__(self) -> None:
        self._constant = {
            "ecs.version": ECS_VERSION,
            "service.name": "embedd",
            "service.version": importlib.metadata.version("embedd"),
        }

    def __call__(self, logger: WrappedLogger, method_name: str, event: EventDict) -> EventDict:  # noqa: ARG002
        message = event.pop("event", "")
        fields = {"@timestamp": event.pop("timestamp"), "log.level": event.pop("level"), "message": message}
        if "logger" not in event:
            fields["event.action"] = message
        if "ms" in event:
            fields["event.duration"] = round(event.pop("ms") * _NANOSECONDS)
        fields |= event.pop("exception", None) or {}
        return fields | {_field(key): value for key, value in event.items()} | self._constant


def describe_exception(exc_info: ExcInfo) -> dict[str, str]:
    """An exception as fields, its causes in the stack trace; no values of variables."""
    kind, error, trace = exc_info
    return {
        "error.type": kind.__qualname__,
        "error.message": str(error),
        "error.stack_trace": "".join(traceback.format_exception(kind, error, trace)),
    }


def _field(key: str) -> str:
    return _NAMES.get(key) or (key if "." in key else f"embedd.{key}")
