"""POST /v1/tokenize and /v1/detokenize: what a model makes of a text."""

from api.errors import InvalidRequest
from api.http.routing import Call, Reply
from api.schemas import NoQuery
from api.schemas_rerank import (
    DetokenizeAnswer,
    DetokenizeRequest,
    TokenizeAnswer,
    TokenizedInput,
    TokenizeRequest,
)
from api.services import tokens
from api.services.embedding import read_ids
from api.services.limits import refuse_more


async def tokenize(call: Call[TokenizeRequest, NoQuery]) -> Reply:
    """The tokens of texts."""
    body = call.body
    model = call.services.models.embedder(body.model)
    texts = [body.input] if isinstance(body.input, str) else body.input
    if not texts:
        raise InvalidRequest("`input` is empty: send at least one text", param="input")
    refuse_more(len(texts), call.services.settings.max_texts_per_request, "input")
    found = await tokens.tokenize(model.tokenizer, texts, special=body.add_special_tokens, param="input")
    data = [TokenizedInput(index, len(one), one) for index, one in enumerate(found)]
    return Reply(TokenizeAnswer(model.card.name, model.card.max_tokens, data), large=True)


async def detokenize(call: Call[DetokenizeRequest, NoQuery]) -> DetokenizeAnswer:
    """The text of token ids."""
    body = call.body
    model = call.services.models.embedder(body.model)
    lists = read_ids(body.ids, call.services.settings.max_texts_per_request, "ids")
    texts = await tokens.detokenize(
        model.tokenizer, lists, skip_special=body.skip_special_tokens, param="ids"
    )
    return DetokenizeAnswer(model.card.name, texts)
