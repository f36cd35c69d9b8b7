"""What models are asked for by, over HTTP and gRPC."""

from api.schemas_models import ModelExchange, ModelRequest
from api.services.model_records import Weights
from api.services.model_rows import ModelRow
from embedd.remote.specs import is_remote
from embedd.specs import split_name


def row_of(wanted: ModelRequest) -> ModelRow:
    """The model that is wanted, by a name of its own."""
    return ModelRow(
        name=wanted.name or _name_of(wanted.source),
        kind=wanted.kind,
        source=wanted.source,
        description=wanted.description,
        revision=wanted.revision,
        sha256=wanted.sha256,
        allow_pickle=wanted.allow_pickle,
        enabled=wanted.enabled,
    )


def weights_of(wanted: ModelExchange) -> Weights:
    """What a model should answer with."""
    return Weights(wanted.source, wanted.revision, wanted.sha256, wanted.allow_pickle)


def _name_of(source: str) -> str:
    """A hub id as it is; of folders, prefixes and upstreams what they are called there."""
    if source.startswith("openai:"):
        return source.removeprefix("openai:").partition("@http")[0]
    if is_remote(source):
        return split_name(source)[0]
    is_place = "://" in source or source.startswith(("/", ".", "~"))
    return source.rstrip("/").rpartition("/")[2] if is_place else source
