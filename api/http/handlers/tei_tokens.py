"""TEI's /tokenize and /decode over the default model."""

from collections.abc import Sequence

from api.errors import InvalidRequest
from api.http.routing import Call, Reply
from api.http.tei_body import given
from api.schemas import NoQuery
from api.schemas_tei import TeiDecodeRequest, TeiTokenizeRequest
from api.services import embedding, tokens
from api.services.limits import refuse_more


async def tokenize(call: Call[TeiTokenizeRequest, NoQuery]) -> Reply:
    """The tokens of each input."""
    body = call.body
    embedder = call.services.models.embedder()
    prompt = embedding.named_prompt(embedder.card, body.prompt_name)
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    _refuse_unlikely(texts, call.services.settings.max_texts_per_request, "inputs")
    found = await tokens.tokenize(
        embedder.tokenizer,
        [prompt + text for text in texts],
        special=body.add_special_tokens,
        param="inputs",
    )
    return Reply(found, large=True)


async def decode(call: Call[TeiDecodeRequest, NoQuery]) -> Reply:
    """The text of each list of token ids."""
    limit = call.services.settings.max_texts_per_request
    lists = embedding.read_ids(given(call.body.ids, "ids"), limit, "ids")
    _refuse_unlikely(lists, limit, "ids")
    tokenizer = call.services.models.embedder().tokenizer
    skip = call.body.skip_special_tokens
    return Reply(await tokens.detokenize(tokenizer, lists, skip_special=skip, param="ids"))


def _refuse_unlikely(items: Sequence[Sequence[object]], limit: int, param: str) -> None:
    """Refuse what TEI does not tokenise: too many, or one with nothing in it."""
    refuse_more(len(given(items, param)), limit, param)
    for index, item in enumerate(items):
        if not item:
            raise InvalidRequest(f"`{param}` {index} is empty", param=param)
