"""TEI's /rerank, by the default reranking model, or by late interaction where there is none."""

import math
import time

from msgspec import UNSET, UnsetType

from api.errors import WrongShape
from api.http.routing import Call, Reply
from api.http.stages import headers_of, ranking_work
from api.http.tei_body import given, truncation_of
from api.schemas import NoQuery
from api.schemas_tei import TeiRank, TeiRerankRequest
from api.services.limits import refuse_more
from api.services.rerank import Rank, Ranking, rank


async def rerank(call: Call[TeiRerankRequest, NoQuery]) -> Reply:
    """Texts in the order of their worth for a query."""
    began = time.perf_counter()
    body = call.body
    texts = _texts(body, call.services.settings.max_texts_per_request)
    ranking = await rank(call.services.models, body.query, texts, truncate=truncation_of(body))
    ranks = [
        TeiRank(
            index=one.index,
            score=one.raw if body.raw_scores else _score(one, ranking),
            text=texts[one.index] if body.return_text else UNSET,
        )
        for one in ranking.ranks
    ]
    headers = headers_of(ranking_work(ranking, body.query, texts), began)
    encoded = call.services.models.measured[ranking.model].encoded
    return Reply(ranks, headers=headers, large=body.return_text, encoded=encoded)


def _texts(body: TeiRerankRequest, limit: int) -> list[str]:
    if isinstance(body.texts, UnsetType):
        raise WrongShape(
            "`texts` is missing; a body with `documents`, as Cohere's and Jina's clients send it, "
            "belongs to /v1/rerank",
            param="texts",
        )
    refuse_more(len(given(body.texts, "texts")), limit, "texts")
    return body.texts


def _score(one: Rank, ranking: Ranking) -> float:
    """TEI puts the sigmoid on every reranker's answer; the means of late interaction are scores already."""
    return one.score if ranking.late else 0.5 + 0.5 * math.tanh(one.raw / 2)
