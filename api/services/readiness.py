"""Whether this service should be sent requests, and if not, why."""

from api.services.models import Models


class Readiness:
    """True while the default embedding model can answer and nobody has asked the service to stop."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._closing = False

    def close(self) -> None:
        """The service was asked to stop."""
        self._closing = True

    def reasons(self) -> list[str]:
        """Why not; empty when ready."""
        closing = ["the service is shutting down"] if self._closing else []
        return closing + self._models.unready()
