"""gRPC asks for the same keys as HTTP, and grants the same."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from grpc import StatusCode
from grpc_calls import Caller, refused, serving
from structlog.testing import capture_logs
from waiting import until

from api.grpc.methods import METHODS
from api.grpc.v1.embedder_pb2 import EmbedRequest, EmbedStreamRequest
from api.grpc.v1.index_pb2 import DeleteRequest, GetRequest, IngestRequest, SearchRequest
from api.grpc.v1.inferencer_pb2 import (
    ROLE_USER,
    AddModelsRequest,
    ChatRequest,
    Message,
    NewModel,
    Retrieval,
)
from api.security.identity import Scope
from api.security.keys import parts_of
from api.security.needs import PUBLIC
from api.services.container import Services

MakeKey = Callable[..., Awaitable[dict[str, str]]]
Metadata = tuple[tuple[str, str], ...]
OPEN = ("grpc.health.v1.Health/", "grpc.reflection.")


@pytest.fixture(scope="session")
async def caller(services: Services, client: TestClient) -> AsyncIterator[Caller]:
    async with serving(services) as (_, caller):
        yield caller


async def answered(logs: list[Any], calls: int) -> bool:
    """Whether so many ``calls`` are told in ``logs`` as answered, and with them what they wrote."""
    return sum(one["event"] == "call_answered" for one in logs) == calls


def metadata(headers: dict[str, str]) -> Metadata:
    return tuple((name.lower(), value) for name, value in headers.items())


def test_only_health_and_reflection_are_for_everybody() -> None:
    for method in METHODS:
        assert (method.needs is PUBLIC) == method.name.startswith(OPEN), method.name


@pytest.mark.parametrize("sent", [(), (("authorization", "Bearer wrong"),), (("x-api-key", "embedd_a_b"),)])
async def test_without_a_good_key_nobody_is_served(caller: Caller, sent: Metadata) -> None:
    for call in (
        caller.embedder.Embed(EmbedRequest(texts=["x"]), metadata=sent),
        caller.index.Search(SearchRequest(collection="open", query="harbour"), metadata=sent),
    ):
        assert (await refused(call)).code is StatusCode.UNAUTHENTICATED
    stream = caller.embedder.EmbedStream(iter([EmbedStreamRequest()]), metadata=sent)
    assert (await refused(stream.read())).code is StatusCode.UNAUTHENTICATED


async def test_a_key_that_reads_does_not_write(caller: Caller, make_key: MakeKey) -> None:
    known = metadata(await make_key(scope=Scope.READ))
    found = await caller.index.Search(SearchRequest(collection="open", query="harbour"), metadata=known)
    assert found.hits
    request = DeleteRequest(collection="open", ids=["open-all"])
    refusal = await refused(caller.index.Delete(request, metadata=known))
    assert (refusal.code, refusal.reason) == (StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")


async def test_models_are_added_by_administrators_alone(
    caller: Caller, make_key: MakeKey, services: Services, admin: dict[str, str]
) -> None:
    wanted = AddModelsRequest(models=[NewModel(source="fake", name="spare", enabled=False)])
    writer = metadata(await make_key(scope=Scope.WRITE))
    refusal = await refused(caller.inferencer.AddModels(wanted, metadata=writer))
    assert (refusal.code, refusal.reason) == (StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
    assert "spare" not in [record.name for record in services.registry.records()]
    with capture_logs() as logs:
        await caller.inferencer.AddModels(wanted, metadata=metadata(admin))
    assert "write_audited" in [line["event"] for line in logs]
    assert await services.registry.remove("spare")


async def test_collections_of_others_are_closed_also_in_streams_and_by_alias(
    caller: Caller, make_key: MakeKey
) -> None:
    known = metadata(await make_key(scope=Scope.WRITE, collections=["open"]))
    for name in ("secret", "other", "never-made"):
        refusal = await refused(
            caller.index.Search(SearchRequest(collection=name, query="harbour"), metadata=known)
        )
        assert (refusal.code, refusal.reason) == (StatusCode.PERMISSION_DENIED, "COLLECTION_NOT_ALLOWED")
        stream = caller.index.Ingest(iter([IngestRequest(collection=name)]), metadata=known)
        assert (await refused(stream.read())).code is StatusCode.PERMISSION_DENIED
        asked = ChatRequest(
            messages=[Message(role=ROLE_USER, content="When?")], retrieval=Retrieval(collection=name)
        )
        assert (await refused(caller.inferencer.Chat(asked, metadata=known).read())).code is (
            StatusCode.PERMISSION_DENIED
        )


async def test_a_stream_takes_nothing_more_once_its_key_is_revoked(
    caller: Caller, make_key: MakeKey, services: Services
) -> None:
    headers = await make_key(scope=Scope.WRITE)
    stream = caller.embedder.EmbedStream(metadata=metadata(headers))
    await stream.write(EmbedStreamRequest(batch=EmbedRequest(texts=["x"])))
    assert len((await stream.read()).batch.vectors) > 0
    await services.gate.keys.revoke(parts_of(headers["Authorization"].removeprefix("Bearer "))[0])
    await stream.write(EmbedStreamRequest(batch=EmbedRequest(texts=["y"])))
    assert (await refused(stream.read())).code is StatusCode.UNAUTHENTICATED


async def test_the_tags_of_a_key_stand_above_those_that_are_asked_with(
    caller: Caller, make_key: MakeKey
) -> None:
    known = metadata(await make_key(scope=Scope.READ, acl=["sea"]))
    found = await caller.index.Search(
        SearchRequest(collection="open", query="harbour airport"), metadata=known
    )
    assert {hit.document_id for hit in found.hits} == {"open-all", "open-sea"}
    refusal = await refused(
        caller.index.Get(GetRequest(collection="open", document_ids=["open-air"]), metadata=known)
    )
    assert refusal.code is StatusCode.PERMISSION_DENIED


async def test_what_is_used_up_is_refused_with_when_to_come_back(caller: Caller, make_key: MakeKey) -> None:
    known = metadata(await make_key(scope=Scope.READ, requests_per_minute=1))
    await caller.embedder.Embed(EmbedRequest(texts=["x"]), metadata=known)
    refusal = await refused(caller.embedder.Embed(EmbedRequest(texts=["x"]), metadata=known))
    assert refusal.code is StatusCode.RESOURCE_EXHAUSTED
    spender = metadata(await make_key(scope=Scope.READ, tokens_per_minute=1))
    await caller.embedder.Embed(EmbedRequest(texts=["many words of one text"]), metadata=spender)
    assert (await refused(caller.embedder.Embed(EmbedRequest(texts=["x"]), metadata=spender))).code is (
        StatusCode.RESOURCE_EXHAUSTED
    )


async def test_a_write_is_told_twice_once_as_a_call_and_once_for_the_audit(
    caller: Caller, make_key: MakeKey
) -> None:
    known = metadata(await make_key(scope=Scope.WRITE))
    with capture_logs() as logs:
        await caller.index.Delete(DeleteRequest(collection="open", ids=["never-there"]), metadata=known)
        await refused(caller.index.Delete(DeleteRequest(collection="open", ids=["open-all"])))
        await caller.embedder.Embed(EmbedRequest(texts=["x"]), metadata=known)
        await until(lambda: answered(logs, 3))  # which is told behind the answers
    told = [(one["event"], one["embedd.method"].rpartition("/")[2], one["embedd.status"]) for one in logs]
    for status in ("OK", "UNAUTHENTICATED"):
        assert ("call_answered", "Delete", status) in told
        assert ("write_audited", "Delete", status) in told
    assert ("write_audited", "Embed", "OK") not in told
    (done, _) = (one for one in logs if one["event"] == "write_audited")
    assert done["collection"] == "open"
    assert done["caller"] in known[0][1]
