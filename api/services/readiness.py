"""Whether this service has started, and whether it should be sent requests, and if not, why."""

from collections.abc import Sequence

from api.services.models import Models
from api.services.store_watch import StoreWatch


class Readiness:
    """Ready while the default embedding model can answer, stores elsewhere can be used, and nobody has asked
    the service to stop.

    A reranking model or a further embedding model changes nothing here: the requests that name it are
    answered with the reason, and the others are served.
    """

    def __init__(self, models: Models, watches: Sequence[StoreWatch] = ()) -> None:
        self._models = models
        self._watches = watches
        self._opening = False
        self._closing = False
        self._started = False

    def begin(self) -> None:
        """The service can be heard from now on, and not yet in every way."""
        self._opening = True

    def open(self) -> None:
        """It can be."""
        self._opening = False

    def close(self) -> None:
        """The service was asked to stop."""
        self._closing = True

    @property
    def is_closing(self) -> bool:
        """Whether the service was asked to stop: what has no end of its own ends now."""
        return self._closing

    def reasons(self) -> list[str]:
        """Why it is not ready; empty when it is."""
        return (["the service is shutting down"] if self._closing else []) + self._unready()

    def notes(self) -> list[str]:
        """What else is not there, and keeps nothing from being ready."""
        return self._models.notes()

    def has_started(self) -> bool:
        """Whether the default model has been seen ready by now; never false again."""
        return self._started or not self._unready()

    def _unready(self) -> list[str]:
        away = [f"the {watch.name} cannot be used: {watch.reason}" for watch in self._watches if watch.reason]
        unready = self._models.unready() + away
        if self._opening:
            unready.append("the service is starting")
        self._started = self._started or not unready
        return unready
