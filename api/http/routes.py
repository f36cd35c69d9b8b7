"""The public contract on one screen: every route, who serves it, what it takes and what it answers."""

from http import HTTPStatus

from api import schemas as s
from api import schemas_aliases as a
from api import schemas_chat as c
from api import schemas_conversations as k
from api import schemas_debug as g
from api import schemas_documents as d
from api import schemas_jobs as j
from api import schemas_keys as y
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
    debug,
    docs,
    documents,
    embeddings,
    health,
    jobs,
    keys,
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
from api.security.needs import ADMIN, PUBLIC, READ, READ_UNLIMITED, READ_UNTAGGED, WRITE, WRITE_UNLIMITED
from embedd.encoding import Token

_ONE = "/v1/collections/{name}"
_DOCUMENTS = f"{_ONE}/documents"
_POINTS = f"{_ONE}/points"
_CONVERSATION = "/v1/conversations/{id}"
_MODEL = "/v1/models/{name:.+}"
_THERE = (HTTPStatus.OK,)
"""What is to be made is there already, as it should be."""
_NOT_YET = (HTTPStatus.SERVICE_UNAVAILABLE,)

ROUTES: tuple[Route, ...] = (
    Route("GET", "/", page.index, "text/html", PUBLIC),
    Route("GET", "/ui/{file}", page.file, "*/*", PUBLIC),
    Route("GET", "/healthz", health.live, s.Health, PUBLIC),
    Route("GET", "/startupz", health.startup, s.Startup, PUBLIC, also=_NOT_YET),
    Route("GET", "/readyz", health.ready, s.Readiness, PUBLIC, also=_NOT_YET),
    Route("GET", "/metrics", metrics.expose, "text/plain", READ_UNLIMITED),
    Route("GET", "/openapi.json", docs.openapi, "application/json", PUBLIC),
    Route("GET", "/docs", docs.page, "text/html", PUBLIC),
    Route("GET", "/v1/info", health.info, s.Info, READ),
    Route("GET", "/v1/models", models.list_models, o.ModelList, READ, dialect="openai"),
    Route(
        "POST",
        "/v1/models",
        models.post,
        o.ModelAnswer,
        ADMIN,
        body=o.ModelRequest,
        status=HTTPStatus.CREATED,
        also=_THERE,
        accepted=o.ModelAnswer,
    ),
    Route("POST", "/v1/models/batch", models.post_many, o.ModelOutcomes, ADMIN, body=o.ModelsRequest),
    Route("GET", f"{_MODEL}/events", models.follow, "text/event-stream", READ, chunk=o.ModelAnswer),
    Route("GET", f"{_MODEL}", models.get, o.ModelAnswer, READ, dialect="openai"),
    Route(
        "PUT",
        f"{_MODEL}",
        models.put,
        o.ModelAnswer,
        ADMIN,
        body=o.ModelExchange,
        query=o.ModelForceQuery,
        accepted=o.ModelAnswer,
    ),
    Route("PATCH", f"{_MODEL}", models.patch, o.ModelAnswer, ADMIN, body=o.ModelPatch),
    Route("DELETE", f"{_MODEL}", models.delete, s.Deleted, ADMIN, query=o.ModelForceQuery),
    Route(
        "POST",
        "/v1/embeddings",
        embeddings.embed,
        s.EmbeddingsAnswer,
        READ,
        body=s.EmbeddingsRequest,
        dialect="openai",
    ),
    Route("POST", "/v1/rerank", rerank.rerank, r.RerankAnswer, READ, body=r.RerankRequest),
    Route("POST", "/v2/rerank", rerank.rerank_v2, r.RerankAnswer, READ, body=r.RerankRequest),
    Route("POST", "/v1/tokenize", tokenize.tokenize, r.TokenizeAnswer, READ, body=r.TokenizeRequest),
    Route("POST", "/v1/detokenize", tokenize.detokenize, r.DetokenizeAnswer, READ, body=r.DetokenizeRequest),
    Route(
        "POST",
        "/v1/chat/completions",
        chat.complete,
        c.ChatAnswer,
        READ,
        body=c.ChatRequest,
        dialect="openai",
        chunk=c.ChatChunk,
    ),
    Route(
        "GET",
        "/v1/chat",
        chat_socket.connect,
        "application/json",
        READ,
        status=HTTPStatus.SWITCHING_PROTOCOLS,
        dialect="openai",
    ),
    Route(
        "POST",
        "/v1/completions",
        completions.complete,
        c.CompletionAnswer,
        READ,
        body=c.CompletionRequest,
        dialect="openai",
        chunk=c.CompletionAnswer,
    ),
    Route(
        "POST",
        "/v1/conversations",
        conversations.post,
        k.ConversationAnswer,
        WRITE_UNLIMITED,
        body=k.ConversationRequest,
        status=HTTPStatus.CREATED,
    ),
    Route(
        "GET",
        "/v1/conversations",
        conversations.list_page,
        k.ConversationPage,
        READ_UNLIMITED,
        query=k.ConversationPageQuery,
    ),
    Route("GET", f"{_CONVERSATION}", conversations.get, k.ConversationAnswer, READ_UNLIMITED),
    Route("DELETE", f"{_CONVERSATION}", conversations.delete, s.Deleted, WRITE_UNLIMITED),
    Route("GET", f"{_CONVERSATION}/messages", conversations.list_messages, k.MessageList, READ_UNLIMITED),
    Route(
        "POST",
        f"{_CONVERSATION}/messages",
        conversations.post_message,
        k.MessageAnswer,
        WRITE_UNLIMITED,
        body=k.MessageRequest,
        status=HTTPStatus.CREATED,
    ),
    # aiohttp tries the paths of a collection in this order: first what is asked most.
    Route("POST", f"{_ONE}/search", search.search, s.SearchAnswer, READ, body=q.SearchRequest),
    Route("GET", "/v1/collections", collections.list_all, s.CollectionList, READ),
    Route(
        "PUT",
        f"{_ONE}",
        collections.put,
        s.CollectionAnswer,
        WRITE,
        body=s.CollectionRequest,
        status=HTTPStatus.CREATED,
        also=_THERE,
    ),
    Route("GET", f"{_ONE}", collections.get, s.CollectionAnswer, READ),
    Route("PATCH", f"{_ONE}", collections.patch, s.CollectionAnswer, WRITE, body=s.CollectionPatch),
    Route("DELETE", f"{_ONE}", collections.delete, s.Deleted, WRITE),
    Route("GET", "/v1/aliases", aliases.list_all, a.AliasList, READ),
    Route(
        "PUT",
        "/v1/aliases/{name}",
        aliases.put,
        a.AliasAnswer,
        WRITE,
        body=a.AliasRequest,
        status=HTTPStatus.CREATED,
        also=_THERE,
    ),
    Route("DELETE", "/v1/aliases/{name}", aliases.delete, s.Deleted, WRITE),
    Route(
        "POST",
        f"{_DOCUMENTS}",
        documents.post,
        s.DocumentOutcomes,
        WRITE,
        body=s.DocumentsRequest,
        query=s.IngestQuery,
        multipart=True,
        accepted=j.JobAccepted,
    ),
    Route(
        "GET", f"{_DOCUMENTS}", documents.list_page, s.DocumentPage, READ_UNTAGGED, query=s.DocumentPageQuery
    ),
    Route("POST", f"{_DOCUMENTS}/delete", documents.delete_many, s.Deleted, WRITE, body=s.DocumentsDelete),
    Route(
        "GET",
        f"{_DOCUMENTS}/{{id:.+}}",
        documents.get,
        s.DocumentAnswer,
        READ_UNTAGGED,
        query=s.DocumentQuery,
    ),
    Route(
        "PATCH", f"{_DOCUMENTS}/{{id:.+}}", documents.patch, s.DocumentAnswer, WRITE, body=d.DocumentChange
    ),
    Route("DELETE", f"{_DOCUMENTS}/{{id:.+}}", documents.delete, s.Deleted, WRITE),
    Route("POST", f"{_POINTS}", points.post, s.Upserted, WRITE, body=s.PointsRequest),
    Route("POST", f"{_POINTS}/get", points.get, s.PointList, READ_UNTAGGED, body=s.PointsGet),
    Route("POST", f"{_POINTS}/delete", points.delete, s.Deleted, WRITE, body=s.PointsDelete),
    Route("POST", f"{_POINTS}/scroll", points.scroll, s.PointPage, READ_UNTAGGED, body=s.PointsScroll),
    Route("GET", f"{_POINTS}/count", points.count, s.Count, READ_UNTAGGED),
    Route("POST", f"{_POINTS}/count", points.count_matching, s.Count, READ_UNTAGGED, body=p.PointsCount),
    Route("POST", f"{_ONE}/facets", points.facets, p.FacetsAnswer, READ_UNTAGGED, body=p.FacetsRequest),
    Route(
        "POST",
        f"{_ONE}/search/batch",
        search.search_batch,
        s.SearchBatchAnswer,
        READ,
        body=q.SearchBatchRequest,
    ),
    Route("POST", f"{_ONE}/recommend", recommend.recommend, s.SearchAnswer, READ, body=p.RecommendRequest),
    Route(
        "POST",
        f"{_ONE}/reembed",
        reembed.post,
        j.JobAccepted,
        WRITE,
        body=e.ReembedRequest,
        status=HTTPStatus.ACCEPTED,
    ),
    Route("GET", f"{_ONE}/map", maps.draw, m.MapAnswer, READ_UNTAGGED, query=m.MapQuery),
    Route("GET", f"{_ONE}/export", transfer.export, JSON_LINES, READ_UNTAGGED, query=x.ExportQuery),
    Route("POST", f"{_ONE}/import", transfer.import_lines, x.Imported, WRITE, lines=x.DocumentLine),
    Route("GET", "/v1/jobs", jobs.list_all, j.JobList, READ_UNTAGGED, query=j.JobsQuery),
    Route("GET", "/v1/jobs/{id}", jobs.get, j.JobAnswer, READ_UNTAGGED),
    Route("DELETE", "/v1/jobs/{id}", jobs.cancel, j.JobAnswer, WRITE),
    Route("GET", "/v1/jobs/{id}/events", jobs.follow, "text/event-stream", READ_UNTAGGED, chunk=j.JobAnswer),
    Route("GET", "/debug/tasks", debug.tasks, g.RunningTasks, ADMIN),
    Route("GET", "/debug/queues", debug.queues, g.ModelQueues, ADMIN),
    Route("GET", "/debug/memory", debug.resident, g.Memory, ADMIN),
    Route("GET", "/v1/keys", keys.list_all, y.KeyList, ADMIN),
    Route("POST", "/v1/keys", keys.post, y.NewKeyAnswer, ADMIN, body=y.KeyRequest, status=HTTPStatus.CREATED),
    Route("DELETE", "/v1/keys/{id}", keys.revoke, y.KeyAnswer, ADMIN),
    Route("GET", "/health", tei.health, None, PUBLIC, dialect="tei"),
    Route("GET", "/info", tei.info, t.TeiInfo, READ, dialect="tei"),
    Route("POST", "/", tei.root, list[list[float] | float], READ, body=t.TeiRootRequest, dialect="tei"),
    Route("POST", "/embed", tei.embed, t.Matrix, READ, body=t.TeiEmbedRequest, dialect="tei"),
    Route(
        "POST", "/embed_all", tei.embed_all, list[t.Matrix], READ, body=t.TeiEmbedAllRequest, dialect="tei"
    ),
    Route(
        "POST", "/rerank", tei_rerank.rerank, list[t.TeiRank], READ, body=t.TeiRerankRequest, dialect="tei"
    ),
    Route(
        "POST", "/similarity", tei.similarity, list[float], READ, body=t.TeiSimilarityRequest, dialect="tei"
    ),
    Route(
        "POST",
        "/tokenize",
        tei_tokens.tokenize,
        list[list[Token]],
        READ,
        body=t.TeiTokenizeRequest,
        dialect="tei",
    ),
    Route("POST", "/decode", tei_tokens.decode, list[str], READ, body=t.TeiDecodeRequest, dialect="tei"),
)
