"""Every method, what answers it, and what its callers must be allowed to do: all of gRPC on one screen."""

from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from api.grpc.calls import Handler, Method
from api.grpc.gate import Scope
from api.grpc.handlers import embedder, health, index, inferencer, reflection
from api.grpc.v1 import embedder_pb2, index_pb2, inferencer_pb2

_Line = tuple[Handler, Scope | None]

_EMBEDDER: dict[str, _Line] = {
    "Embed": (embedder.embed, "read"),
    "EmbedStream": (embedder.embed_stream, "read"),
    "Rerank": (embedder.rerank, "read"),
    "Tokenize": (embedder.tokenize, "read"),
}
_INDEX: dict[str, _Line] = {
    "Upsert": (index.upsert, "write"),
    "Search": (index.search, "read"),
    "Get": (index.get, "read"),
    "Delete": (index.delete, "write"),
    "Ingest": (index.ingest, "write"),
}
_INFERENCER: dict[str, _Line] = {
    "ListModels": (inferencer.list_models, "read"),
    "Generate": (inferencer.generate, "read"),
    "GenerateStreaming": (inferencer.generate_streaming, "read"),
    "RunBatchedInference": (inferencer.run_batched, "read"),
    "Chat": (inferencer.chat, "read"),
}
_HEALTH: dict[str, _Line] = {
    "Check": (health.check, None),
    "List": (health.list_all, None),
    "Watch": (health.watch, None),
}
_REFLECTION: dict[str, _Line] = {"ServerReflectionInfo": (reflection.describe, None)}

_SERVICES = (
    (embedder_pb2.DESCRIPTOR, "Embedder", _EMBEDDER),
    (index_pb2.DESCRIPTOR, "Index", _INDEX),
    (inferencer_pb2.DESCRIPTOR, "Inferencer", _INFERENCER),
    (health_pb2.DESCRIPTOR, "Health", _HEALTH),
    (reflection_pb2.DESCRIPTOR, "ServerReflection", _REFLECTION),
)

METHODS: tuple[Method, ...] = tuple(
    Method(file.services_by_name[service].methods_by_name[name], handler, scope)
    for file, service, lines in _SERVICES
    for name, (handler, scope) in lines.items()
)
