"""POST /v1/rerank, in the shape of Cohere's and Jina's clients."""

import time
import uuid
from collections.abc import Sequence

from msgspec import UNSET

from api.errors import InvalidRequest
from api.http.routing import Call, Reply
from api.http.stages import describe_cut_query, describe_truncated, headers_of, ranking_work
from api.schemas import EmbeddingUsage, NoQuery
from api.schemas_rerank import (
    RerankAnswer,
    RerankDocument,
    RerankedDocument,
    RerankMeta,
    RerankRequest,
    RerankResult,
    RerankTokens,
)
from api.services.limits import refuse_more
from api.services.rerank import Ranking, rank


async def rerank(call: Call[RerankRequest, NoQuery]) -> Reply:
    """Documents in the order of their worth for a query."""
    began = time.perf_counter()
    body = call.body
    texts = _texts(body.documents, call.services.settings.max_texts_per_request)
    ranking = await rank(call.services.models, body.query, texts, model=body.model, truncate=body.truncate)
    return Reply(
        _answer(ranking, texts, body),
        headers=headers_of(ranking_work(ranking, body.query, texts), began),
        large=body.return_documents,
        encoded=call.services.models.measured[ranking.model].encoded,
    )


async def rerank_v2(call: Call[RerankRequest, NoQuery]) -> Reply:
    """The same, where the second version of Cohere's client looks for it."""
    return await rerank(call)


def _texts(documents: Sequence[str | RerankDocument], limit: int) -> list[str]:
    if not documents:
        raise InvalidRequest("`documents` is empty: send at least one", param="documents")
    refuse_more(len(documents), limit, "documents")
    return [one if isinstance(one, str) else one.text for one in documents]


def _answer(ranking: Ranking, texts: Sequence[str], body: RerankRequest) -> RerankAnswer:
    return RerankAnswer(
        id=uuid.uuid4().hex,
        model=ranking.model,
        results=[
            RerankResult(
                index=one.index,
                relevance_score=one.raw if body.raw_scores else one.score,
                document=RerankedDocument(texts[one.index]) if body.return_documents else UNSET,
            )
            for one in ranking.ranks[: body.top_n]
        ],
        usage=EmbeddingUsage(prompt_tokens=ranking.tokens, total_tokens=ranking.tokens),
        meta=RerankMeta(RerankTokens(ranking.tokens)),
        truncated=describe_truncated(ranking.truncated),
        truncated_query=describe_cut_query(ranking.cut_query),
    )
