"""Replicas of a service over one PostgreSQL: how tests start them, speak to them and wait for them."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
from real_service import Launcher, Service

ADMIN_KEY = "the-key-of-the-administrator-in-a-file"
HEARD_WITHIN_S = 15.0
"""Bound for a busy machine; what one service changes, others hear of in a second."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One of the services, and how to speak to it as the administrator."""

    service: Service
    http: httpx.Client

    def ask(self, method: str, path: str, body: Any = None, *, status: int = 200, **options: Any) -> Any:
        response = self.http.request(method, path, json=body, **options)
        assert response.status_code == status, response.text
        return response.json()


class Replicas:
    """Starts replicas, all with the same settings, and ends those that still run."""

    def __init__(self, launcher: Launcher, flags: Sequence[str]) -> None:
        self._launcher = launcher
        self._flags = flags
        self._clients = ExitStack()

    def start(self) -> Replica:
        """One more, which is ready."""
        service = self._launcher.start(*self._flags)
        client = service.client(headers={"Authorization": f"Bearer {ADMIN_KEY}"})
        return Replica(service, self._clients.enter_context(client))

    def close(self) -> None:
        self._clients.close()


def until(condition: Callable[[], Any], within_s: float = HEARD_WITHIN_S) -> Any:
    """What ``condition`` gives as soon as it gives something."""
    ends = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.02)
    return found
