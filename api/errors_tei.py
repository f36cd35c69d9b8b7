"""What a client of text-embeddings-inference is told when something goes wrong.

TEI ties a status to each of its kinds of error (router/src/http/server.rs): a value that the model cannot
take and a batch that is too large are both ``Validation`` and 413. A body that cannot be read, or not as this
route's, keeps the status of every other route, which is also that of TEI's own framework.
"""

from dataclasses import replace
from http import HTTPStatus

import embedd.errors as models
from api.errors import InvalidRequest, PayloadTooLarge, Refusal, WrongShape, refuse
from api.schemas_tei import ErrorType


class NothingGiven(InvalidRequest):
    """A list without anything in it."""


class NotThisModel(InvalidRequest):
    """The model that serves the route is of another kind."""


KINDS: dict[type[Exception], tuple[HTTPStatus, ErrorType]] = {
    WrongShape: (HTTPStatus.UNPROCESSABLE_ENTITY, "Validation"),
    InvalidRequest: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Validation"),
    NothingGiven: (HTTPStatus.BAD_REQUEST, "Empty"),
    NotThisModel: (HTTPStatus.FAILED_DEPENDENCY, "Backend"),
    PayloadTooLarge: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Validation"),
    models.InvalidInput: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Validation"),
    models.NotFinite: (HTTPStatus.FAILED_DEPENDENCY, "Backend"),
    models.OutOfMemory: (HTTPStatus.FAILED_DEPENDENCY, "Backend"),
    models.UnknownModel: (HTTPStatus.FAILED_DEPENDENCY, "Backend"),
    models.WorkerDied: (HTTPStatus.FAILED_DEPENDENCY, "Backend"),
    models.ChildError: (HTTPStatus.FAILED_DEPENDENCY, "Backend"),
    models.UpstreamError: (HTTPStatus.FAILED_DEPENDENCY, "Backend"),
    models.ModelLoadError: (HTTPStatus.SERVICE_UNAVAILABLE, "Unhealthy"),
    models.ModelUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "Unhealthy"),
    models.DeadlineExceeded: (HTTPStatus.SERVICE_UNAVAILABLE, "Unhealthy"),
    models.Overloaded: (HTTPStatus.TOO_MANY_REQUESTS, "Overloaded"),
}


def refuse_as_tei(error: Exception) -> Refusal:
    """How ``error`` is answered on TEI's routes; what has no kind of its own keeps its status."""
    refusal = refuse(error)
    known = next((KINDS[step] for step in type(error).__mro__ if step in KINDS), None)
    status, kind = known or (refusal.status, "Validation" if refusal.expected else "Backend")
    return replace(refusal, status=status, type=kind, flat=True)
