"""What statuses of servers elsewhere mean to those who wait for an answer, and how their errors are told.

Pure: knows no client. Keys stand in no message.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus

from embedd.errors import EmbeddError, Overloaded, UpstreamFailed, UpstreamRefused, UpstreamUnavailable

_KEY_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_LONGEST_REASON = 500
_RETRY_AFTER_S = 1.0


def problem_of(name: str, status: int, body: bytes, asked_s: float) -> EmbeddError:
    """What ``name`` says with a status other than 200; ``asked_s`` is the pause that it asks for, 0 for
    none.
    """
    message = f"{name} answered {status}: {reason_of(body)}"
    if status in _KEY_REFUSED:
        return UpstreamFailed(f"{name} does not accept this service's key (status {status})")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Overloaded(message, asked_s or _RETRY_AFTER_S)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return UpstreamUnavailable(message, asked_s or _RETRY_AFTER_S)
    if status == HTTPStatus.FAILED_DEPENDENCY:  # text-embeddings-inference says so of its model
        return UpstreamFailed(message)
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return UpstreamRefused(message)
    return UpstreamFailed(message)


def reason_of(body: bytes) -> str:
    """The message of an error in OpenAI's or TEI's shape, or the beginning of whatever it is."""
    text = body.decode("utf-8", "replace")
    try:
        said = json.loads(text)
        error = said.get("error", said.get("message"))
        text = str(error["message"] if isinstance(error, dict) else error or text)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return " ".join(text.split())[:_LONGEST_REASON] or "without a reason"


def asked_s(headers: Mapping[str, str]) -> float:
    """The pause that an answer asks for; whole seconds are what services send, and a date counts as none."""
    given = headers.get("Retry-After", "")
    return float(given) if given.isdigit() else 0.0


def why(error: BaseException) -> str:
    """What is wrong, for people."""
    return str(error) or type(error).__name__
