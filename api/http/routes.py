"""The public contract on one screen: every route, who serves it, what it takes and what it answers."""

from http import HTTPStatus

from api import schemas as s
from api import schemas_aliases as a
from api import schemas_chat as c
from api import schemas_conversations as k
from api import schemas_documents as d
from api import schemas_jobs as j
from api import schemas_map as m
from api import schemas_models as o
from api import schemas_points as p
from api import schemas_reembed as e
from api import schemas_rerank as r
from api import schemas_search as q
from api import schemas_tei as t
from api import schemas_transfer as x
from api.http.handlers import (
    aliases,
    chat,
    chat_socket,
    collections,
    completions,
    conversations,
    docs,
    documents,
    embeddings,
    health,
    jobs,
    maps,
    metrics,
    models,
    page,
    points,
    recommend,
    reembed,
    rerank,
    search,
    tei,
    tei_rerank,
    tei_tokens,
    tokenize,
    transfer,
)
from api.http.jsonl import JSON_LINES
from api.http.routing import Route
from embedd.tokenizer import Token

_ONE = "/v1/collections/{name}"
_DOCUMENTS = f"{_ONE}/documents"
_POINTS = f"{_ONE}/points"
_CONVERSATION = "/v1/conversations/{id}"
_MODEL = "/v1/models/{name:.+}"

ROUTES: tuple[Route, ...] = (
    Route("GET", "/", page.index, "text/html"),
    Route("GET", "/ui/{file}", page.file, "text/html"),
    Route("GET", "/healthz", health.live, s.Health),
    Route("GET", "/startupz", health.startup, s.Startup),
    Route("GET", "/readyz", health.ready, s.Readiness),
    Route("GET", "/metrics", metrics.expose, "text/plain"),
    Route("GET", "/openapi.json", docs.openapi, "application/json"),
    Route("GET", "/docs", docs.page, "text/html"),
    Route("GET", "/v1/info", health.info, s.Info),
    Route("GET", "/v1/models", models.list_models, o.ModelList, dialect="openai"),
    Route(
        "POST",
        "/v1/models",
        models.post,
        o.ModelAnswer,
        body=o.ModelRequest,
        status=HTTPStatus.CREATED,
        accepted=o.ModelAnswer,
    ),
    Route("POST", "/v1/models/batch", models.post_many, o.ModelOutcomes, body=o.ModelsRequest),
    Route("GET", f"{_MODEL}/events", models.follow, "text/event-stream", chunk=o.ModelAnswer),
    Route("GET", f"{_MODEL}", models.get, o.ModelAnswer, dialect="openai"),
    Route("PATCH", f"{_MODEL}", models.patch, o.ModelAnswer, body=o.ModelPatch),
    Route("DELETE", f"{_MODEL}", models.delete, s.Deleted, query=o.ModelDeleteQuery),
    Route(
        "POST",
        "/v1/embeddings",
        embeddings.embed,
        s.EmbeddingsAnswer,
        body=s.EmbeddingsRequest,
        dialect="openai",
    ),
    Route("POST", "/v1/rerank", rerank.rerank, r.RerankAnswer, body=r.RerankRequest),
    Route("POST", "/v2/rerank", rerank.rerank_v2, r.RerankAnswer, body=r.RerankRequest),
    Route("POST", "/v1/tokenize", tokenize.tokenize, r.TokenizeAnswer, body=r.TokenizeRequest),
    Route("POST", "/v1/detokenize", tokenize.detokenize, r.DetokenizeAnswer, body=r.DetokenizeRequest),
    Route(
        "POST",
        "/v1/chat/completions",
        chat.complete,
        c.ChatAnswer,
        body=c.ChatRequest,
        dialect="openai",
        chunk=c.ChatChunk,
    ),
    Route(
        "GET",
        "/v1/chat",
        chat_socket.connect,
        "application/json",
        status=HTTPStatus.SWITCHING_PROTOCOLS,
        dialect="openai",
    ),
    Route(
        "POST",
        "/v1/completions",
        completions.complete,
        c.CompletionAnswer,
        body=c.CompletionRequest,
        dialect="openai",
        chunk=c.CompletionAnswer,
    ),
    Route(
        "POST",
        "/v1/conversations",
        conversations.post,
        k.ConversationAnswer,
        body=k.ConversationRequest,
        status=HTTPStatus.CREATED,
    ),
    Route(
        "GET",
        "/v1/conversations",
        conversations.list_page,
        k.ConversationPage,
        query=k.ConversationPageQuery,
    ),
    Route("GET", f"{_CONVERSATION}", conversations.get, k.ConversationAnswer),
    Route("DELETE", f"{_CONVERSATION}", conversations.delete, s.Deleted),
    Route("GET", f"{_CONVERSATION}/messages", conversations.list_messages, k.MessageList),
    Route(
        "POST",
        f"{_CONVERSATION}/messages",
        conversations.post_message,
        k.MessageAnswer,
        body=k.MessageRequest,
        status=HTTPStatus.CREATED,
    ),
    # aiohttp tries the paths of a collection in this order: first what is asked most.
    Route("POST", f"{_ONE}/search", search.search, s.SearchAnswer, body=q.SearchRequest),
    Route("GET", "/v1/collections", collections.list_all, s.CollectionList),
    Route(
        "PUT",
        f"{_ONE}",
        collections.put,
        s.CollectionAnswer,
        body=s.CollectionRequest,
        status=HTTPStatus.CREATED,
    ),
    Route("GET", f"{_ONE}", collections.get, s.CollectionAnswer),
    Route("PATCH", f"{_ONE}", collections.patch, s.CollectionAnswer, body=s.CollectionPatch),
    Route("DELETE", f"{_ONE}", collections.delete, s.Deleted),
    Route("GET", "/v1/aliases", aliases.list_all, a.AliasList),
    Route(
        "PUT",
        "/v1/aliases/{name}",
        aliases.put,
        a.AliasAnswer,
        body=a.AliasRequest,
        status=HTTPStatus.CREATED,
    ),
    Route("DELETE", "/v1/aliases/{name}", aliases.delete, s.Deleted),
    Route(
        "POST",
        f"{_DOCUMENTS}",
        documents.post,
        s.DocumentOutcomes,
        body=s.DocumentsRequest,
        query=s.IngestQuery,
        multipart=True,
        accepted=j.JobAccepted,
    ),
    Route("GET", f"{_DOCUMENTS}", documents.list_page, s.DocumentPage, query=s.DocumentPageQuery),
    Route("POST", f"{_DOCUMENTS}/delete", documents.delete_many, s.Deleted, body=s.DocumentsDelete),
    Route("GET", f"{_DOCUMENTS}/{{id:.+}}", documents.get, s.DocumentAnswer, query=s.DocumentQuery),
    Route("PATCH", f"{_DOCUMENTS}/{{id:.+}}", documents.patch, s.DocumentAnswer, body=d.DocumentChange),
    Route("DELETE", f"{_DOCUMENTS}/{{id:.+}}", documents.delete, s.Deleted),
    Route("POST", f"{_POINTS}", points.post, s.Upserted, body=s.PointsRequest),
    Route("POST", f"{_POINTS}/get", points.get, s.PointList, body=s.PointsGet),
    Route("POST", f"{_POINTS}/delete", points.delete, s.Deleted, body=s.PointsDelete),
    Route("POST", f"{_POINTS}/scroll", points.scroll, s.PointPage, body=s.PointsScroll),
    Route("GET", f"{_POINTS}/count", points.count, s.Count),
    Route("POST", f"{_POINTS}/count", points.count_matching, s.Count, body=p.PointsCount),
    Route("POST", f"{_ONE}/facets", points.facets, p.FacetsAnswer, body=p.FacetsRequest),
    Route(
        "POST", f"{_ONE}/search/batch", search.search_batch, s.SearchBatchAnswer, body=q.SearchBatchRequest
    ),
    Route("POST", f"{_ONE}/recommend", recommend.recommend, s.SearchAnswer, body=p.RecommendRequest),
    Route(
        "POST",
        f"{_ONE}/reembed",
        reembed.post,
        j.JobAccepted,
        body=e.ReembedRequest,
        status=HTTPStatus.ACCEPTED,
    ),
    Route("GET", f"{_ONE}/map", maps.draw, m.MapAnswer, query=m.MapQuery),
    Route("GET", f"{_ONE}/export", transfer.export, JSON_LINES, query=x.ExportQuery),
    Route("POST", f"{_ONE}/import", transfer.import_lines, x.Imported, lines=x.DocumentLine),
    Route("GET", "/v1/jobs", jobs.list_all, j.JobList, query=j.JobsQuery),
    Route("GET", "/v1/jobs/{id}", jobs.get, j.JobAnswer),
    Route("DELETE", "/v1/jobs/{id}", jobs.cancel, j.JobAnswer),
    Route("GET", "/v1/jobs/{id}/events", jobs.follow, "text/event-stream", chunk=j.JobAnswer),
    Route("GET", "/health", tei.health, "application/json", dialect="tei"),
    Route("GET", "/info", tei.info, t.TeiInfo, dialect="tei"),
    Route("POST", "/", tei.root, t.Matrix, body=t.TeiRootRequest, dialect="tei"),
    Route("POST", "/embed", tei.embed, t.Matrix, body=t.TeiEmbedRequest, dialect="tei"),
    Route("POST", "/embed_all", tei.embed_all, list[t.Matrix], body=t.TeiEmbedAllRequest, dialect="tei"),
    Route("POST", "/rerank", tei_rerank.rerank, list[t.TeiRank], body=t.TeiRerankRequest, dialect="tei"),
    Route("POST", "/similarity", tei.similarity, list[float], body=t.TeiSimilarityRequest, dialect="tei"),
    Route(
        "POST", "/tokenize", tei_tokens.tokenize, list[list[Token]], body=t.TeiTokenizeRequest, dialect="tei"
    ),
    Route("POST", "/decode", tei_tokens.decode, list[str], body=t.TeiDecodeRequest, dialect="tei"),
)
