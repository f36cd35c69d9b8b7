"""grpc.reflection.v1alpha: what services there are and how they look, for tools such as grpcurl and buf."""

from collections.abc import AsyncGenerator, AsyncIterator

from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from api.grpc.calls import Call
from api.grpc.handlers.health import names_of

_ALWAYS = ("grpc.health.v1.Health", reflection.SERVICE_NAME)


async def describe(
    requests: AsyncIterator[ServerReflectionRequest],
    call: Call,
) -> AsyncGenerator[ServerReflectionResponse, None]:
    """Names, symbols and files, as asked."""
    servicer = reflection.aio.ReflectionServicer((*names_of(call.services)[1:], *_ALWAYS))
    async for answer in servicer.ServerReflectionInfo(requests, None):
        yield answer
