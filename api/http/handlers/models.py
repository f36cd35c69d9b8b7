"""GET /v1/models: every model that requests may name, and each generator over each collection."""

from api.http.authentication import visible_aliases, visible_names
from api.http.routing import Call
from api.schemas import ModelCardAnswer, ModelKind, ModelList, ModelState, NoQuery

_CREATED = 0  # models are configured, not created: the field is there because OpenAI's clients read it


async def list_models(call: Call[None, NoQuery]) -> ModelList:
    """Models that requests may name."""
    services, identity = call.services, call.identity
    places = sorted([*visible_names(services, identity), *visible_aliases(services, identity)])
    cards: list[ModelCardAnswer] = []
    for state in services.models.states():
        over = [f"{state.name}@{place}" for place in places] if state.kind == "generator" else []
        cards += [_card(name, state.kind, state.status.state) for name in (state.name, *over)]
    return ModelList(data=cards)


def _card(name: str, kind: ModelKind, status: ModelState) -> ModelCardAnswer:
    return ModelCardAnswer(id=name, created=_CREATED, owned_by="embedd", kind=kind, status=status)
