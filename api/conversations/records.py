"""What is kept of a conversation. Knows neither how it is kept nor who asks for it.

Ids sort by the moment when they were given (RFC 9562, version 7), so the newest conversations are those whose
ids come last, and an id is where a list goes on. What is kept never changes but for what an append changes.
"""

import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from index.codec import timestamp

MOST_MESSAGES: Final = 10_000
"""Of one conversation."""
BEHIND_ALL: Final = "g"
"""Sorts behind every id."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message; ``details`` is what else there is of it, as JSON has it, such as ``sources``."""

    id: str
    role: str
    content: str
    created_at: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is known of a conversation without reading its ``messages``, which are counted.

    ``model`` and ``retrieval`` are what its questions are asked with unless they say otherwise. ``lasts`` is
    for how long it is there behind its last message, unless ``expires_at`` was set once for all.
    """

    id: str
    title: str
    model: str | None
    retrieval: Mapping[str, Any] | None
    metadata: Mapping[str, Any]
    created_at: str
    updated_at: str
    expires_at: str | None = None
    lasts: float | None = None
    messages: int = 0


def new_id() -> str:
    """An id that nobody can guess and that sorts behind those that were given before, to a quarter of a
    microsecond.
    """
    millisecond, rest = divmod(time.time_ns(), 1_000_000)
    fraction = rest * 4096 // 1_000_000
    value = millisecond << 80 | 0x7 << 76 | fraction << 64 | 0x2 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


def expiry(expires_at: str | None, lasts: float | None, now: datetime | None = None) -> str | None:
    """When a conversation expires that something was written to now; ``lasts`` in seconds."""
    if lasts is None:
        return expires_at
    return timestamp((now or datetime.now(UTC)) + timedelta(seconds=lasts))
