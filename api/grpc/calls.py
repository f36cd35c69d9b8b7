"""Around every call: an id, a trace, a log line, a count, the gate, and errors turned into statuses.

A method is answered by a function of a decoded message (or an iterator of them) and the `Call`; it answers a
message, or an iterator of them. Whether there is one or many of either is what the proto says.

Invariants: a call that its client gives up, or whose deadline has passed, is cancelled where it is. When the
server closes, no stream of requests brings more; what it has brought is answered, and then it ends with
UNAVAILABLE, so that its client knows that not everything was read.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode

from api.errors import MalformedRequest, ShuttingDown
from api.grpc.measuring import CallMetrics
from api.grpc.statuses import DETAILS, refuse_as_grpc
from api.grpc.tracing import following
from api.http.authentication import key_in, permit_collection
from api.request_ids import HEADER_REQUEST_ID, request_id
from api.security.identity import ANONYMOUS, Identity
from api.security.needs import Needs
from api.services.container import Services
from api.services.models import Models

log = structlog.get_logger()

Handler = Callable[[Any, "Call"], Awaitable[Message] | AsyncGenerator[Message, None]]


@dataclass(frozen=True, slots=True)
class Method:
    """One line of the table: what answers it, and what who calls must be allowed to do."""

    proto: MethodDescriptor
    handler: Handler
    needs: Needs

    @property
    def name(self) -> str:
        """``embedd.v1.Embedder/Embed``"""
        return f"{self.proto.containing_service.full_name}/{self.proto.name}"


@dataclass(slots=True)
class Call:
    """What a method may use. ``collection`` is the last that a message named."""

    services: Services
    closing: asyncio.Event
    context: grpc.aio.ServicerContext
    request_id: str
    identity: Identity = ANONYMOUS
    collection: str | None = None
    status: StatusCode = StatusCode.OK
    cut: bool = False

    @property
    def models(self) -> Models:
        """The models, for as long as the caller waits."""
        return self.services.models.within(self.seconds_left)

    @property
    def seconds_left(self) -> float | None:
        """How long the caller waits; None for ever."""
        seconds: float | None = self.context.time_remaining()
        return seconds

    def spend(self, tokens: int) -> None:
        """What models read for an answer."""
        self.services.gate.quotas.spend(self.identity, tokens)


class Edge:
    """Makes methods into what grpc calls; ``closing`` is set when no more should be read."""

    def __init__(self, services: Services) -> None:
        self.closing = asyncio.Event()
        self._services = services
        self._metrics = CallMetrics(services.metrics)

    def serve(self, method: Method) -> grpc.RpcMethodHandler:
        """``method`` as grpc calls it. Messages come as bytes, so that malformed ones are answered here."""
        kind = GetMessageClass(method.proto.input_type).FromString
        many_asked, many_answers = method.proto.client_streaming, method.proto.server_streaming

        async def handle(asked: Any, context: grpc.aio.ServicerContext) -> Message | None:
            async with self._answering(method, context) as call:
                if many_asked:
                    request = self._messages(method, kind, call)
                else:
                    request = await self._message(method, kind, asked, call)
                answer = method.handler(request, call)
                if many_answers:
                    await _write_all(answer, context)
                    _refuse_cut(call)
                    return None
                return await answer  # type: ignore[misc] # it is one

        make = _MAKERS[many_asked, many_answers]
        return make(handle, response_serializer=GetMessageClass(method.proto.output_type).SerializeToString)

    @asynccontextmanager
    async def _answering(self, method: Method, context: grpc.aio.ServicerContext) -> AsyncIterator[Call]:
        metadata = dict(context.invocation_metadata() or ())
        call = Call(
            self._services, self.closing, context, request_id(str(metadata.get(HEADER_REQUEST_ID, "")))
        )
        context.set_trailing_metadata(((HEADER_REQUEST_ID, call.request_id),))
        began = time.perf_counter()
        with (
            structlog.contextvars.bound_contextvars(request_id=call.request_id),
            self._followed(method, metadata, call),
        ):
            try:
                await self._admit(method, metadata, call)
                yield call
            except asyncio.CancelledError:
                call.status = StatusCode.CANCELLED
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is answered
                await _refuse(error, method, call)
            finally:
                self._tell(method, call, time.perf_counter() - began)

    def _followed(
        self, method: Method, metadata: Mapping[str, Any], call: Call
    ) -> AbstractContextManager[None]:
        """What probes and explorers ask is not traced."""
        tracing = self._services.tracing
        if tracing is None or method.needs.scope is None:
            return nullcontext()
        return following(tracing, method.proto, metadata, lambda: call.status)

    async def _admit(self, method: Method, metadata: Mapping[str, Any], call: Call) -> None:
        if method.needs.scope is not None:
            call.identity = await self._services.gate.identify(key_in(metadata))
            self._services.gate.check_needs(call.identity, method.needs)

    async def _message(self, method: Method, kind: Callable[[bytes], Any], raw: bytes, call: Call) -> Any:
        try:
            message = kind(raw)
        except DecodeError as error:
            raise MalformedRequest(
                f"this is no {method.proto.input_type.full_name}: {error}", code="malformed_body"
            ) from error
        if method.needs.scope is not None:
            self._services.gate.check_still_valid(call.identity)
            await self._services.gate.quotas.admit(call.identity)
            if collection := getattr(message, "collection", ""):
                call.collection = collection
                await permit_collection(self._services, call.identity, collection)
        return message

    async def _messages(
        self, method: Method, kind: Callable[[bytes], Any], call: Call
    ) -> AsyncGenerator[Any, None]:
        """What the client sends, until it has sent everything or the server closes."""
        while (raw := await _next(call)) is not None:
            yield await self._message(method, kind, raw, call)

    def _tell(self, method: Method, call: Call, seconds: float) -> None:
        self._metrics.add(method.name, call.status, seconds)
        told = {
            "embedd.method": method.name,  # HTTP's fields are of other types
            "embedd.status": call.status.name,
            "remote": call.context.peer(),
        }
        write = log.debug if method.needs.scope is None else log.info
        write("call_answered", ms=round(seconds * 1000, 1), **told)
        if method.needs.changes:
            log.info("write_audited", caller=call.identity.name, collection=call.collection, **told)


_MAKERS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


async def _next(call: Call) -> bytes | None:
    """The next message of a stream, None at its end or when the server closes."""
    closing = asyncio.ensure_future(call.closing.wait())
    reading = asyncio.ensure_future(call.context.read())
    try:
        await asyncio.wait({reading, closing}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            call.cut = True
            return None
        raw = reading.result()
        return None if raw is grpc.aio.EOF else raw
    finally:
        closing.cancel()
        reading.cancel()


async def _write_all(answers: Any, context: grpc.aio.ServicerContext) -> None:
    async with aclosing(answers):
        async for answer in answers:
            await context.write(answer)


def _refuse_cut(call: Call) -> None:
    if call.cut:
        raise ShuttingDown("the service is shutting down: send what was not answered once more")


async def _refuse(error: Exception, method: Method, call: Call) -> None:
    refused = refuse_as_grpc(error)
    call.status = refused.code
    if not refused.refusal.expected:
        log.error("call_failed", method=method.name, exc_info=error)
    trailing = ((HEADER_REQUEST_ID, call.request_id), (DETAILS, refused.status(call.request_id)))
    await call.context.abort(refused.code, refused.message, trailing)
