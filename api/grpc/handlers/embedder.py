"""embedd.v1.Embedder: texts to vectors, scores and tokens."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable

from api.errors import InvalidRequest
from api.grpc.calls import Call
from api.grpc.reading import read
from api.grpc.statuses import foreseen
from api.grpc.streams import in_order
from api.grpc.v1 import embedder_pb2 as pb
from api.schemas import EmbeddingsRequest
from api.schemas_rerank import RerankRequest, TokenizeRequest
from api.services import tokens
from api.services.embedding import check_dimensions, fit, lane_of, prompt_of, read_inputs
from api.services.limits import refuse_more
from api.services.rerank import Rank, rank
from embedd.embedder import Truncated
from embedd.encoding import Token
from embedd.lanes import Lane

_TEXTS_AT_ONCE = 1024
"""Of one stream: enough to cut full batches of like lengths, few enough for the others."""


async def embed(request: pb.EmbedRequest, call: Call) -> pb.EmbedResponse:
    """The vectors of texts."""
    return await _embed(request, call, lane_of(len(request.texts)), call.models.deadline_s)


async def embed_stream(
    requests: AsyncIterator[pb.EmbedStreamRequest], call: Call
) -> AsyncGenerator[pb.EmbedStreamResponse, None]:
    """The vectors of a stream of batches, in the bulk lane; a batch that is refused is so alone.

    Batches wait for each other, so that no deadline holds but the caller's own.
    """

    async def answer(request: pb.EmbedStreamRequest) -> pb.EmbedStreamResponse:
        try:
            return pb.EmbedStreamResponse(
                batch=await _embed(request.batch, call, Lane.BULK, call.seconds_left)
            )
        except Exception as error:  # noqa: BLE001 - what nobody foresaw is raised again
            return pb.EmbedStreamResponse(error=foreseen(error).item())

    async for answered in in_order(requests, answer, _texts_of, _TEXTS_AT_ONCE):
        yield answered


async def rerank(request: pb.RerankRequest, call: Call) -> pb.RerankResponse:
    """Documents in the order of their worth for a query."""
    wanted = read(request, RerankRequest, query=request.query, documents=list(request.documents))
    if not request.documents:
        raise InvalidRequest("`documents` is empty: send at least one", param="documents")
    refuse_more(len(request.documents), call.services.settings.max_texts_per_request, "documents")
    ranking = await rank(
        call.models, wanted.query, request.documents, model=wanted.model, truncate=wanted.truncate
    )
    call.spend(ranking.tokens)
    return pb.RerankResponse(
        results=_results(ranking.ranks[: wanted.top_n], raw=wanted.raw_scores),
        model=ranking.model,
        tokens=ranking.tokens,
        truncated=_truncated(ranking.truncated),
    )


async def tokenize(request: pb.TokenizeRequest, call: Call) -> pb.TokenizeResponse:
    """The tokens of texts."""
    wanted = TokenizeRequest(list(request.texts), request.model or None)
    if request.HasField("add_special_tokens"):
        wanted.add_special_tokens = request.add_special_tokens
    model = call.services.models.embedder(wanted.model)
    if not request.texts:
        raise InvalidRequest("`texts` is empty: send at least one text", param="texts")
    refuse_more(len(request.texts), call.services.settings.max_texts_per_request, "texts")
    found = await tokens.tokenize(
        model.tokenizer, request.texts, special=wanted.add_special_tokens, param="texts"
    )
    texts = [pb.TokenizedText(tokens=map(_token, one)) for one in found]
    return pb.TokenizeResponse(texts=texts, model=model.card.name, max_tokens=model.card.max_tokens)


async def _embed(
    request: pb.EmbedRequest, call: Call, lane: Lane, deadline_s: float | None
) -> pb.EmbedResponse:
    texts = read_inputs(list(request.texts), call.services.settings.max_texts_per_request, "texts")
    wanted = read(request, EmbeddingsRequest, input=texts)
    embedder = call.services.models.embedder(wanted.model)
    check_dimensions(embedder.card, wanted.dimensions)
    embedded = await embedder.embed(
        texts,
        lane=lane,
        prompt=prompt_of(embedder.card, wanted.prompt_name, wanted.input_type),
        truncate=wanted.truncate,
        deadline_s=deadline_s,
    )
    call.spend(sum(embedded.tokens))
    fitted = fit(embedder.card, embedded.vectors, wanted.dimensions, normalize=wanted.dimensions is not None)
    return pb.EmbedResponse(
        vectors=fitted.astype("<f4", copy=False).tobytes(),
        dim=fitted.shape[1],
        model=embedder.card.name,
        tokens=sum(embedded.tokens),
        truncated=_truncated(embedded.truncated),
    )


def _texts_of(request: pb.EmbedStreamRequest) -> int:
    return len(request.batch.texts)


def _results(ranks: Iterable[Rank], *, raw: bool) -> list[pb.RerankResult]:
    return [pb.RerankResult(index=one.index, relevance_score=one.raw if raw else one.score) for one in ranks]


def _truncated(cut: Iterable[Truncated]) -> list[pb.Truncated]:
    return [
        pb.Truncated(index=one.index, tokens=one.tokens, kept=one.kept, at_least=not one.exact) for one in cut
    ]


def _token(token: Token) -> pb.Token:
    return pb.Token(id=token.id, text=token.text, special=token.special, start=token.start, end=token.stop)
