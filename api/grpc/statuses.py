"""What a gRPC client is told when something goes wrong: the rows of `api.errors`, as gRPC statuses.

The status follows from the row's HTTP status; what gRPC tells apart and HTTP does not has a line of its own.
Details are those of google.rpc, which clients' libraries know: ErrorInfo (the code for programs), BadRequest
(the field), RetryInfo (when to try again) and RequestInfo (what the log has).

https://cloud.google.com/apis/design/errors
"""

from dataclasses import dataclass
from http import HTTPStatus

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from api.errors import Refusal, refuse
from api.grpc.v1.error_pb2 import Error

DETAILS = "grpc-status-details-bin"
"""The trailing metadata that a google.rpc.Status travels in."""

_DOMAIN = "embedd"

STATUSES: dict[HTTPStatus, StatusCode] = {
    HTTPStatus.BAD_REQUEST: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.UNAUTHORIZED: StatusCode.UNAUTHENTICATED,
    HTTPStatus.FORBIDDEN: StatusCode.PERMISSION_DENIED,
    HTTPStatus.NOT_FOUND: StatusCode.NOT_FOUND,
    HTTPStatus.REQUEST_TIMEOUT: StatusCode.DEADLINE_EXCEEDED,
    HTTPStatus.CONFLICT: StatusCode.FAILED_PRECONDITION,
    HTTPStatus.PRECONDITION_FAILED: StatusCode.FAILED_PRECONDITION,
    # Not RESOURCE_EXHAUSTED: that is tried again, and the same request never fits.
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.MISDIRECTED_REQUEST: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.UNPROCESSABLE_ENTITY: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.TOO_MANY_REQUESTS: StatusCode.RESOURCE_EXHAUSTED,
    HTTPStatus.INTERNAL_SERVER_ERROR: StatusCode.INTERNAL,
    HTTPStatus.BAD_GATEWAY: StatusCode.UNAVAILABLE,
    HTTPStatus.SERVICE_UNAVAILABLE: StatusCode.UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT: StatusCode.UNAVAILABLE,
    HTTPStatus.INSUFFICIENT_STORAGE: StatusCode.RESOURCE_EXHAUSTED,
}
FINER: dict[str, StatusCode] = {
    "deadline_exceeded": StatusCode.DEADLINE_EXCEEDED,
    "collection_exists": StatusCode.ALREADY_EXISTS,
    "name_taken": StatusCode.ALREADY_EXISTS,
    "version_conflict": StatusCode.ABORTED,
}
"""By the row's code, where the HTTP status says too little."""


@dataclass(frozen=True, slots=True)
class GrpcRefusal:
    """An error as a gRPC client sees it."""

    code: StatusCode
    refusal: Refusal

    @property
    def message(self) -> str:
        """For people."""
        return self.refusal.message

    @property
    def reason(self) -> str:
        """For programs, as ErrorInfo spells reasons."""
        return self.refusal.code.upper()

    def status(self, request_id: str) -> bytes:
        """All of it, as the trailing metadata carries it."""
        details: list[Message] = [
            ErrorInfo(reason=self.reason, domain=_DOMAIN, metadata={"type": self.refusal.type}),
            RequestInfo(request_id=request_id),
        ]
        if self.refusal.param is not None:
            violation = BadRequest.FieldViolation(field=self.refusal.param, description=self.message)
            details.append(BadRequest(field_violations=[violation]))
        if (wait := self._wait()) is not None:
            details.append(RetryInfo(retry_delay=wait))
        status = Status(code=self.code.value[0], message=self.message, details=[_any(one) for one in details])
        serialized: bytes = status.SerializeToString()
        return serialized

    def item(self) -> Error:
        """All of it, as one item of a stream that goes on carries it."""
        return Error(
            code=self.code.value[0],
            reason=self.reason,
            message=self.message,
            field=self.refusal.param or "",
            retry_after=self._wait(),
        )

    def _wait(self) -> Duration | None:
        seconds = self.refusal.retry_after_s
        return None if seconds is None else Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))


def refuse_as_grpc(error: Exception) -> GrpcRefusal:
    """How ``error`` is answered; one without a row is INTERNAL without detail."""
    refusal = refuse(error)
    return GrpcRefusal(FINER.get(refusal.code) or STATUSES[refusal.status], refusal)


def foreseen(error: Exception) -> GrpcRefusal:
    """How ``error`` is answered; raises it again if it has no row."""
    refusal = refuse_as_grpc(error)
    if not refusal.refusal.expected:
        raise error
    return refusal


def _any(detail: Message) -> Any:
    packed = Any()
    packed.Pack(detail)
    return packed
