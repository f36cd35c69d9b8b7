"""GET /v1/models: every model that requests may name, and the generator over each collection."""

from api.http.routing import Call
from api.schemas import ModelCardAnswer, ModelKind, ModelList, ModelState, NoQuery

_CREATED = 0  # models are configured, not created: the field is there because OpenAI's clients read it


async def list_models(call: Call[None, NoQuery]) -> ModelList:
    """Models that requests may name."""
    models = call.services.models
    catalog = call.services.catalog
    over = [f"{models.generator_name}@{name}" for name in sorted([*catalog.names(), *catalog.aliases])]
    generators = [models.generator_name, *over]
    return ModelList(
        data=[_card(model.name, model.kind, model.status.state) for model in models.states()]
        + [_card(name, "generator", "ready") for name in generators]
    )


def _card(name: str, kind: ModelKind, status: ModelState) -> ModelCardAnswer:
    return ModelCardAnswer(id=name, created=_CREATED, owned_by="embedd", kind=kind, status=status)
