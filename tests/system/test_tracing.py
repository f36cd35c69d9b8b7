"""Traces of a real service, as a collector receives them, and the ids of them in its log."""

import subprocess
import sys
from collections.abc import Iterator

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from otlp_receiver import Receiver, attributes, open_receiver
from ports import free_port
from real_service import Launcher, Service

from api.grpc.v1.embedder_pb2 import EmbedRequest, EmbedStreamRequest
from api.grpc.v1.embedder_pb2_grpc import EmbedderStub
from api.grpc.v1.index_pb2 import SearchRequest
from api.grpc.v1.index_pb2_grpc import IndexStub

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
TRACEPARENT = {"traceparent": f"00-{TRACE_ID}-{CALLER}-01"}
SECRET = "spring tides come at new and full moon"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with open_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def traced(shared_services: Launcher, receiver: Receiver) -> Iterator[Service]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        flags = ("--otlp-endpoint", receiver.url, "--otlp-sample-ratio", "1", "--generator", "fake")
        yield shared_services.start(*flags, "--grpc-port", str(free_port()))


@pytest.fixture(scope="module")
def channel(traced: Service) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(traced.events("service_started")[0]["embedd.grpc"]) as channel:
        yield channel


def test_the_parts_of_an_embedding_are_spans_below_the_request(traced: Service, receiver: Receiver) -> None:
    with traced.client() as client:
        client.post("/v1/embeddings", json={"input": SECRET}, headers=TRACEPARENT).raise_for_status()
    spans = receiver.trace("POST /v1/embeddings")
    root = spans["POST /v1/embeddings"]
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE_ID, CALLER)
    assert root.kind == Span.SPAN_KIND_SERVER
    assert attributes(root)["http.response.status_code"] == 200
    assert spans.keys() >= {"model.tokenize", "model.queue", "model.forward", "model.encode"}
    parts = [span for span in spans.values() if span is not root]
    assert {span.parent_span_id for span in parts} == {root.span_id}
    assert {span.trace_id for span in parts} == {root.trace_id}
    assert spans["model.queue"].end_time_unix_nano <= spans["model.forward"].end_time_unix_nano
    assert receiver.resource["service.name"] == "embedd"


def test_every_line_of_the_request_has_the_ids_of_its_trace(traced: Service, receiver: Receiver) -> None:
    with traced.client() as client:
        client.get("/v1/models", headers=TRACEPARENT).raise_for_status()
    root = receiver.trace("GET /v1/models")["GET /v1/models"]
    line = next(one for one in traced.events("request_answered") if one["url.path"] == "/v1/models")
    assert (line["trace.id"], line["span.id"]) == (TRACE_ID, root.span_id.hex())


def test_a_chat_shows_its_search_and_its_generation_and_no_text(traced: Service, receiver: Receiver) -> None:
    with traced.client() as client:
        client.put("/v1/collections/moon", json={}).raise_for_status()
        documents = {"documents": [{"id": "tides", "text": SECRET}]}
        client.post("/v1/collections/moon/documents?wait=true", json=documents).raise_for_status()
        chat = {
            "messages": [{"role": "user", "content": SECRET}],
            "retrieval": {"collection": "moon", "min_evidence": 0},
        }
        client.post("/v1/chat/completions", json=chat).raise_for_status()
    spans = receiver.trace("POST /v1/chat/completions")
    assert attributes(spans["index.search"])["db.collection.name"] == "moon"
    assert attributes(spans["generation"])["gen_ai.request.model"] == "fake"
    assert not [span.name for span in spans.values() if "tides" in str(span)]


def test_a_request_without_a_trace_begins_one_and_a_refusal_is_no_failure(
    traced: Service, receiver: Receiver
) -> None:
    with traced.client() as client:
        assert client.post("/v1/embeddings", json={"input": []}).status_code == 400
        client.get("/healthz").raise_for_status()
        client.get("/nowhere")
    refused = receiver.trace("POST /v1/embeddings")["POST /v1/embeddings"]
    assert refused.parent_span_id == b""
    assert attributes(refused)["http.response.status_code"] == 400
    assert refused.status.code == Status.STATUS_CODE_UNSET
    assert receiver.trace("HTTP").keys() == {"HTTP"}, "probes are not traced"


def test_a_call_over_grpc_is_a_trace_with_the_same_parts(
    traced: Service, receiver: Receiver, channel: grpc.Channel
) -> None:
    asked = EmbedRequest(texts=["a text that nobody has asked for yet"])
    EmbedderStub(channel).Embed(asked, metadata=tuple(TRACEPARENT.items()), timeout=20)
    name = "embedd.v1.Embedder/Embed"
    spans = receiver.trace(name)
    root = spans[name]
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE_ID, CALLER)
    assert root.kind == Span.SPAN_KIND_SERVER
    assert attributes(root) == {
        "rpc.system": "grpc",
        "rpc.service": "embedd.v1.Embedder",
        "rpc.method": "Embed",
        "rpc.grpc.status_code": 0,
    }
    assert spans.keys() >= {"model.tokenize", "model.queue", "model.forward"}
    assert {span.parent_span_id for span in spans.values() if span is not root} == {root.span_id}
    line = next(one for one in traced.events("call_answered") if one["embedd.method"] == name)
    assert (line["trace.id"], line["span.id"]) == (TRACE_ID, root.span_id.hex())


def test_a_stream_is_one_span_and_its_parts_are_below_it(receiver: Receiver, channel: grpc.Channel) -> None:
    asked = [EmbedStreamRequest(batch=EmbedRequest(texts=[text])) for text in ("ebb", "flow")]
    assert len(list(EmbedderStub(channel).EmbedStream(iter(asked), timeout=20))) == 2
    spans = receiver.trace("embedd.v1.Embedder/EmbedStream")
    root = spans["embedd.v1.Embedder/EmbedStream"]
    assert root.parent_span_id == b""
    assert spans["model.forward"].parent_span_id == root.span_id


def test_a_call_that_is_refused_is_no_failure_and_health_is_not_traced(
    receiver: Receiver, channel: grpc.Channel
) -> None:
    HealthStub(channel).Check(HealthCheckRequest(), timeout=20)
    with pytest.raises(grpc.RpcError):
        IndexStub(channel).Search(SearchRequest(collection="nowhere", query="tide"), timeout=20)
    spans = receiver.trace("embedd.v1.Index/Search")
    assert spans.keys() == {"embedd.v1.Index/Search"}
    refused = spans["embedd.v1.Index/Search"]
    assert attributes(refused)["rpc.grpc.status_code"] == grpc.StatusCode.NOT_FOUND.value[0]
    assert refused.status.code == Status.STATUS_CODE_UNSET


def test_a_service_whose_collector_is_gone_serves_and_ends_in_time(shared_services: Launcher) -> None:
    service = shared_services.start("--otlp-endpoint", "http://127.0.0.1:9", "--otlp-sample-ratio", "1")
    with service.client() as client:
        client.post("/v1/embeddings", json={"input": "tide"}).raise_for_status()
    assert service.stop() == 0


def test_a_service_that_is_not_traced_imports_nothing_for_it() -> None:
    script = "import sys, api.app\nprint([name for name in sys.modules if name.startswith('opentelemetry')])"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
