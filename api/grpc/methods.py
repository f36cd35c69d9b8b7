"""Every method, what answers it, and what its callers must be allowed to do: all of gRPC on one screen."""

from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from api.grpc.calls import Handler, Method
from api.grpc.handlers import embedder, health, index, inferencer, reflection, worker
from api.grpc.v1 import embedder_pb2, index_pb2, inferencer_pb2, worker_pb2
from api.security.needs import ADMIN, PUBLIC, READ, READ_UNTAGGED, WRITE, Needs
from api.settings import Settings

_Line = tuple[Handler, Needs]

_EMBEDDER: dict[str, _Line] = {
    "Embed": (embedder.embed, READ),
    "EmbedStream": (embedder.embed_stream, READ),
    "Rerank": (embedder.rerank, READ),
    "Tokenize": (embedder.tokenize, READ),
}
_INDEX: dict[str, _Line] = {
    "Upsert": (index.upsert, WRITE),
    "Search": (index.search, READ),
    "Get": (index.get, READ_UNTAGGED),
    "Delete": (index.delete, WRITE),
    "Ingest": (index.ingest, WRITE),
}
_INFERENCER: dict[str, _Line] = {
    "ListModels": (inferencer.list_models, READ),
    "AddModels": (inferencer.add_models, ADMIN),
    "ExchangeModel": (inferencer.exchange_model, ADMIN),
    "Generate": (inferencer.generate, READ),
    "GenerateStreaming": (inferencer.generate_streaming, READ),
    "RunBatchedInference": (inferencer.run_batched, READ),
    "Chat": (inferencer.chat, READ),
}
_WORKER: dict[str, _Line] = {"Describe": (worker.describe, READ), "Run": (worker.run, READ)}
_HEALTH: dict[str, _Line] = {
    "Check": (health.check, PUBLIC),
    "List": (health.list_all, PUBLIC),
    "Watch": (health.watch, PUBLIC),
}
_REFLECTION: dict[str, _Line] = {"ServerReflectionInfo": (reflection.describe, PUBLIC)}

_SERVICES = (
    (embedder_pb2.DESCRIPTOR, "Embedder", _EMBEDDER),
    (index_pb2.DESCRIPTOR, "Index", _INDEX),
    (inferencer_pb2.DESCRIPTOR, "Inferencer", _INFERENCER),
    (worker_pb2.DESCRIPTOR, "Worker", _WORKER),
    (health_pb2.DESCRIPTOR, "Health", _HEALTH),
    (reflection_pb2.DESCRIPTOR, "ServerReflection", _REFLECTION),
)

METHODS: tuple[Method, ...] = tuple(
    Method(file.services_by_name[service].methods_by_name[name], handler, needs)
    for file, service, lines in _SERVICES
    for name, (handler, needs) in lines.items()
)

_NOT_OF_MODELS = ("embedd.v1.Index/", "embedd.v1.Inferencer/")


def methods_of(settings: Settings) -> tuple[Method, ...]:
    """What is answered: of a service of models alone, what they do."""
    return tuple(
        method for method in METHODS if settings.role == "all" or not method.name.startswith(_NOT_OF_MODELS)
    )
