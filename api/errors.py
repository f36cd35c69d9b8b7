"""What a client is told when something goes wrong, for every error of every layer.

The domain packages know no status codes: `ROWS` is the only place where an error meets one, looked up along
the class hierarchy, and a test holds every domain error to a row.

    RequestError
    ├── MalformedRequest     the request cannot be read: broken JSON, a bad parameter               400
    ├── InvalidRequest       it can be read, and its values make no sense                           422
    │   └── WrongShape       a field is missing, unknown or of the wrong type                     422
    ├── Unauthenticated      no key came, or one that is not, or no longer, good                    401
    ├── Forbidden            a web page from elsewhere asks, or a key that is not for this          403
    ├── Misdirected          the request was meant for another host than this one                   421
    ├── NotFound             no such route, document, point or job                                  404
    ├── TooSlow              the body did not arrive in time                                        408
    ├── PayloadTooLarge      a body, a file or a list over its limit                                413
    ├── UnsupportedMedia     a Content-Type that this route does not take                           415
    ├── Conflict             the write was made for another state than the one that is stored       409
    ├── PreconditionFailed   If-Match names none of the versions that there are                    412
    ├── ModelChanged         a collection was made with other weights than this service runs        409
    ├── QuotaExceeded        a key has used up what it may in a minute                              429
    ├── ProviderUnavailable  no keys of the identity provider could be had to verify a token with    503
    └── ShuttingDown         the service ends before an answer that would go on for long            503
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

import embedd.errors as models
import index.errors as stores
from api.schemas import ErrorAnswer, ErrorDetail
from api.schemas_tei import TeiErrorAnswer
from api.services.parse import ParseFailed


class RequestError(Exception):
    """The request is at fault; ``param`` names the field and ``code`` the reason for programs."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class MalformedRequest(RequestError):
    """The request cannot be read."""


class InvalidRequest(RequestError):
    """The request can be read, its values cannot be used."""


class WrongShape(InvalidRequest):
    """A field is missing, unknown, of the wrong type or out of range: the schema says no."""


class Unauthenticated(RequestError):
    """It is not known who asks."""


class Forbidden(RequestError):
    """Who asks may not."""


class Misdirected(RequestError):
    """The request names a host that this service is not."""


class NotFound(RequestError):
    """What the path names is not there."""


class TooSlow(RequestError):
    """The body did not arrive in time."""


class PayloadTooLarge(RequestError):
    """A body, a file or a list is over its limit."""


class UnsupportedMedia(RequestError):
    """The route does not take this Content-Type."""


class Conflict(RequestError):
    """The write was made for another state than the one that is stored."""


class PreconditionFailed(RequestError):
    """If-Match names none of the versions that there are."""


class ModelChanged(RequestError):
    """A collection was made with other weights than the service runs under that name."""


class QuotaExceeded(RequestError):
    """Who asks has used up what they may in a minute; ``retry_after_s`` says when there is more."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ProviderUnavailable(RequestError):
    """It cannot be told whose token this is; ``retry_after_s`` says when to ask again."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ShuttingDown(RequestError):
    """The service was asked to stop, and this answer has no end of its own."""


@dataclass(frozen=True, slots=True)
class Row:
    """How one kind of error is answered."""

    status: HTTPStatus
    type: str
    code: str


_INVALID = "invalid_request_error"
_CONFLICT = "conflict_error"
_MISSING = "not_found_error"
_LIMITED = "rate_limit_error"
_DOWN = "service_unavailable_error"

ROWS: dict[type[Exception], Row] = {
    MalformedRequest: Row(HTTPStatus.BAD_REQUEST, _INVALID, "malformed_request"),
    InvalidRequest: Row(HTTPStatus.UNPROCESSABLE_ENTITY, _INVALID, "invalid_value"),
    Unauthenticated: Row(HTTPStatus.UNAUTHORIZED, "authentication_error", "invalid_api_key"),
    Forbidden: Row(HTTPStatus.FORBIDDEN, "permission_error", "forbidden"),
    Misdirected: Row(HTTPStatus.MISDIRECTED_REQUEST, _INVALID, "host_not_allowed"),
    NotFound: Row(HTTPStatus.NOT_FOUND, _MISSING, "not_found"),
    TooSlow: Row(HTTPStatus.REQUEST_TIMEOUT, _INVALID, "body_too_slow"),
    PayloadTooLarge: Row(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _INVALID, "payload_too_large"),
    UnsupportedMedia: Row(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, _INVALID, "unsupported_media_type"),
    Conflict: Row(HTTPStatus.CONFLICT, _CONFLICT, "version_conflict"),
    PreconditionFailed: Row(HTTPStatus.PRECONDITION_FAILED, _CONFLICT, "precondition_failed"),
    ModelChanged: Row(HTTPStatus.CONFLICT, _CONFLICT, "model_changed"),
    QuotaExceeded: Row(HTTPStatus.TOO_MANY_REQUESTS, _LIMITED, "rate_limit_exceeded"),
    ProviderUnavailable: Row(HTTPStatus.SERVICE_UNAVAILABLE, _DOWN, "identity_provider_unavailable"),
    ShuttingDown: Row(HTTPStatus.SERVICE_UNAVAILABLE, _DOWN, "shutting_down"),
    ParseFailed: Row(HTTPStatus.UNPROCESSABLE_ENTITY, _INVALID, "unreadable_document"),
    models.InvalidInput: Row(HTTPStatus.UNPROCESSABLE_ENTITY, _INVALID, "invalid_input"),
    models.OutOfMemory: Row(HTTPStatus.SERVICE_UNAVAILABLE, _DOWN, "out_of_memory"),
    models.NotFinite: Row(HTTPStatus.UNPROCESSABLE_ENTITY, _INVALID, "not_finite"),
    models.InputRefused: Row(HTTPStatus.UNPROCESSABLE_ENTITY, _INVALID, "input_refused"),
    models.NoTokenVectors: Row(HTTPStatus.UNPROCESSABLE_ENTITY, _INVALID, "no_token_vectors"),
    models.UnknownModel: Row(HTTPStatus.NOT_FOUND, _MISSING, "model_not_found"),
    models.ModelLoadError: Row(HTTPStatus.SERVICE_UNAVAILABLE, _DOWN, "model_not_loaded"),
    models.ModelUnavailable: Row(HTTPStatus.SERVICE_UNAVAILABLE, _DOWN, "model_unavailable"),
    models.Overloaded: Row(HTTPStatus.TOO_MANY_REQUESTS, _LIMITED, "overloaded"),
    models.PromptTooLong: Row(HTTPStatus.UNPROCESSABLE_ENTITY, _INVALID, "context_length_exceeded"),
    models.InvalidGrammar: Row(HTTPStatus.UNPROCESSABLE_ENTITY, _INVALID, "invalid_grammar"),
    models.UpstreamRefused: Row(HTTPStatus.UNPROCESSABLE_ENTITY, _INVALID, "upstream_refused"),
    models.UpstreamUnavailable: Row(HTTPStatus.SERVICE_UNAVAILABLE, _DOWN, "upstream_unavailable"),
    models.UpstreamTimedOut: Row(HTTPStatus.GATEWAY_TIMEOUT, _DOWN, "upstream_timed_out"),
    models.UpstreamFailed: Row(HTTPStatus.BAD_GATEWAY, _DOWN, "upstream_failed"),
    models.UpstreamError: Row(HTTPStatus.BAD_GATEWAY, _DOWN, "upstream_failed"),
    models.DeadlineExceeded: Row(HTTPStatus.SERVICE_UNAVAILABLE, _DOWN, "deadline_exceeded"),
    models.ChildError: Row(HTTPStatus.SERVICE_UNAVAILABLE, _DOWN, "worker_failed"),
    stores.CollectionNotFound: Row(HTTPStatus.NOT_FOUND, _MISSING, "collection_not_found"),
    stores.CollectionExists: Row(HTTPStatus.CONFLICT, _CONFLICT, "collection_exists"),
    stores.NameTaken: Row(HTTPStatus.CONFLICT, _CONFLICT, "name_taken"),
    stores.InvalidName: Row(HTTPStatus.UNPROCESSABLE_ENTITY, _INVALID, "invalid_name"),
    stores.InvalidSettings: Row(HTTPStatus.UNPROCESSABLE_ENTITY, _INVALID, "invalid_settings"),
    stores.VersionConflict: Row(HTTPStatus.CONFLICT, _CONFLICT, "version_conflict"),
    stores.KeyReused: Row(HTTPStatus.UNPROCESSABLE_ENTITY, _INVALID, "idempotency_key_reused"),
    stores.InvalidDocument: Row(HTTPStatus.UNPROCESSABLE_ENTITY, _INVALID, "invalid_document"),
    stores.InvalidId: Row(HTTPStatus.UNPROCESSABLE_ENTITY, _INVALID, "invalid_id"),
    stores.InvalidVector: Row(HTTPStatus.UNPROCESSABLE_ENTITY, _INVALID, "invalid_vector"),
    stores.InvalidFilter: Row(HTTPStatus.UNPROCESSABLE_ENTITY, _INVALID, "invalid_filter"),
    stores.InvalidQuery: Row(HTTPStatus.UNPROCESSABLE_ENTITY, _INVALID, "invalid_query"),
    stores.InvalidCursor: Row(HTTPStatus.BAD_REQUEST, _INVALID, "invalid_cursor"),
    stores.HistoryLost: Row(HTTPStatus.CONFLICT, _CONFLICT, "history_lost"),
    stores.WriteQueueFull: Row(HTTPStatus.TOO_MANY_REQUESTS, _LIMITED, "write_queue_full"),
    stores.JobNotHeld: Row(HTTPStatus.CONFLICT, _CONFLICT, "job_not_held"),
    stores.DataFolderInUse: Row(HTTPStatus.SERVICE_UNAVAILABLE, _DOWN, "data_folder_in_use"),
    stores.DataTooNew: Row(HTTPStatus.SERVICE_UNAVAILABLE, _DOWN, "data_too_new"),
    stores.DatabaseUnusable: Row(HTTPStatus.SERVICE_UNAVAILABLE, _DOWN, "database_unusable"),
    stores.InvalidBackup: Row(HTTPStatus.UNPROCESSABLE_ENTITY, _INVALID, "invalid_backup"),
    stores.WouldReplace: Row(HTTPStatus.CONFLICT, _CONFLICT, "would_replace"),
    stores.CopyRefused: Row(HTTPStatus.CONFLICT, _CONFLICT, "copy_refused"),
    stores.StorageFull: Row(HTTPStatus.INSUFFICIENT_STORAGE, _DOWN, "storage_full"),
    stores.StorageFailed: Row(HTTPStatus.SERVICE_UNAVAILABLE, _DOWN, "storage_failed"),
    stores.VectorsUnavailable: Row(HTTPStatus.SERVICE_UNAVAILABLE, _DOWN, "vectors_unavailable"),
    stores.StoreUnavailable: Row(HTTPStatus.SERVICE_UNAVAILABLE, _DOWN, "store_unavailable"),
    stores.OutcomeUnknown: Row(HTTPStatus.SERVICE_UNAVAILABLE, _DOWN, "outcome_unknown"),
}

_PASSING = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_RETRY_AFTER_S = 5.0
"""For what may pass and does not say when: about as long as a new worker takes."""

_UNEXPECTED = Row(HTTPStatus.INTERNAL_SERVER_ERROR, "server_error", "internal_error")
_UNEXPECTED_MESSAGE = "the service failed to answer this request; its log has the reason under the request id"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as the client sees it; a ``flat`` one has TEI's shape and its ``type`` is one of TEI's."""

    status: HTTPStatus
    message: str
    type: str
    param: str | None
    code: str
    retry_after_s: float | None
    flat: bool = False

    @property
    def expected(self) -> bool:
        """Whether this error has a row, that is, whether its message is meant for clients."""
        return self.status is not HTTPStatus.INTERNAL_SERVER_ERROR

    def body(self) -> ErrorAnswer | TeiErrorAnswer:
        """What it travels in."""
        if self.flat:
            return TeiErrorAnswer(error=self.message, error_type=self.type)
        detail = ErrorDetail(message=self.message, type=self.type, param=self.param, code=self.code)
        return ErrorAnswer(error=detail)


def row_of(kind: type[BaseException]) -> Row | None:
    """The row of the nearest class above ``kind`` that has one."""
    return next((ROWS[step] for step in kind.__mro__ if step in ROWS), None)


def refuse(error: Exception, *, openai: bool = False) -> Refusal:
    """How ``error`` is answered, by ``openai`` routes with 400 where others say 422.

    An error without a row is a 500 without detail.
    """
    row = row_of(type(error))
    if row is None:
        return Refusal(
            _UNEXPECTED.status, _UNEXPECTED_MESSAGE, _UNEXPECTED.type, None, _UNEXPECTED.code, None
        )
    status = row.status
    if openai and status is HTTPStatus.UNPROCESSABLE_ENTITY:
        status = HTTPStatus.BAD_REQUEST
    return Refusal(
        status=status,
        message=str(error),
        type=row.type,
        param=_param(error),
        code=getattr(error, "code", None) or row.code,
        retry_after_s=getattr(error, "retry_after_s", _RETRY_AFTER_S if status in _PASSING else None),
    )


@contextmanager
def located(where: str) -> Iterator[None]:
    """Says of values that cannot be used that they stand in the part ``where`` of the request."""
    try:
        yield
    except Exception as error:
        refusal = refuse(error)
        if refusal.status is not HTTPStatus.UNPROCESSABLE_ENTITY:
            raise
        param = f"{where}.{refusal.param}" if refusal.param else where
        raise InvalidRequest(f"{where}: {refusal.message}", param=param, code=refusal.code) from error


def _param(error: Exception) -> str | None:
    if isinstance(error, stores.InvalidFilter):
        return "filter"
    if isinstance(error, stores.InvalidCursor):
        return "after"
    return getattr(error, "param", None)
