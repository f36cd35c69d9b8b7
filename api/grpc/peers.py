"""Services of our own as servers of models: a client of embedd.v1.Worker (`embedd.remote.peers` says what
for).

Loaded only where a setting names one. Knows channels and messages; which server is asked is not decided here.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn
from urllib.parse import urlsplit

import grpc
import numpy as np
import numpy.typing as npt
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from api.grpc.statuses import DETAILS
from api.grpc.v1 import worker_pb2 as pb
from api.grpc.v1.worker_pb2_grpc import WorkerStub
from embedd.encoding import Encoding, Token
from embedd.errors import (
    CallFailed,
    InputRefused,
    ModelLoadError,
    Overloaded,
    UpstreamFailed,
    UpstreamTimedOut,
    UpstreamUnavailable,
)
from embedd.lanes import Lane
from embedd.model_files import Activation
from embedd.remote.peers import Facts, Told
from embedd.remote.specs import Certificates
from embedd.specs import ModelKind
from embedd.token_vectors import TokenDtype
from embedd.tokenizer_file import TokenizerFile
from embedd.upstream.client import Context

_KINDS: dict[ModelKind, pb.Kind] = {"embedding": pb.KIND_EMBEDDING, "reranking": pb.KIND_RERANKING}
_TOKEN_VECTORS: dict[TokenDtype, pb.TokenVectors] = {
    "float32": pb.TOKEN_VECTORS_FLOAT32,
    "int8": pb.TOKEN_VECTORS_INT8,
}
_ACTIVATIONS: dict[str, Activation] = {"sigmoid": "sigmoid", "identity": "identity"}

_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
_NOT_SENT = "failed to connect"
"""What the library says of calls that never left."""


class OwnPeer:
    """Made by `open_peer`."""

    def __init__(
        self, name: str, url: str, asked: tuple[str, ModelKind], stub: Any, metadata: "_Metadata"
    ) -> None:
        self.url = url
        self._name = f"the server of {name!r} at {url}"
        self._model, self._kind = asked
        self._stub = stub
        self._metadata = metadata
        self._known: Facts | None = None

    async def describe(self) -> Facts:
        """The tokenizer comes along the first time alone."""
        told = await self._describe(brief=self._known is not None)
        facts = Facts(
            kind=self._kind,
            model=told.model,
            dim=told.dim,
            max_tokens=told.max_tokens,
            normalized=told.normalized,
            pooling=told.pooling,
            prompts=dict(told.prompts),
            default_prompt_name=told.default_prompt_name if told.HasField("default_prompt_name") else None,
            activation=_ACTIVATIONS.get(told.activation, "identity"),
            revision=told.revision,
            sha256=told.sha256,
            dtype=told.dtype,
            device=told.device,
            max_batch_tokens=told.max_batch_tokens,
            max_inputs=told.max_inputs,
            tokenizer=_tokenizer(told.tokenizer) if self._known is None else self._known.tokenizer,
        )
        self._known = facts
        return facts

    async def check(self) -> None:
        """Also that it has what it had."""
        told = await self._describe(brief=True)
        if self._known is not None and told.sha256 != self._known.sha256:
            raise UpstreamUnavailable(f"{self._name} has another model by now: sha256 {told.sha256}", 1.0)

    async def run(self, inputs: Sequence[Encoding], lane: Lane, token_dtype: TokenDtype | None) -> Told:
        request = pb.RunRequest(
            model=self._model,
            kind=_KINDS[self._kind],
            ids=np.concatenate([one.ids for one in inputs]).astype("<i4", copy=False).tobytes(),
            lengths=[len(one.ids) for one in inputs],
            seconds=[one.second for one in inputs],
            bulk=lane is Lane.BULK,
            token_vectors=None if token_dtype is None else _TOKEN_VECTORS[token_dtype],
        )
        try:
            answer = await self._stub.Run(request, metadata=self._metadata())
        except grpc.aio.AioRpcError as error:
            if _is_not_finite(error) and len(inputs) == 1 and self._known is not None:
                return Told(np.full((1, self._known.dim), np.nan, dtype=np.float32))
            self._refuse(error)
        return self._told(answer, inputs, token_dtype)

    async def tokenize(self, texts: Sequence[str], *, special: bool) -> list[list[Token]]:
        raise NotImplementedError("tokens are made here, by its tokenizer")

    async def decode(self, ids: Sequence[int], *, skip_special: bool) -> str:
        raise NotImplementedError("texts are made here, by its tokenizer")

    async def _describe(self, *, brief: bool) -> pb.DescribeResponse:
        request = pb.DescribeRequest(model=self._model or None, kind=_KINDS[self._kind], brief=brief)
        try:
            told: pb.DescribeResponse = await self._stub.Describe(request, metadata=self._metadata())
        except grpc.aio.AioRpcError as error:
            if error.code() in (StatusCode.NOT_FOUND, StatusCode.UNIMPLEMENTED, StatusCode.INVALID_ARGUMENT):
                raise ModelLoadError(f"{self._name} does not have it: {error.details()}") from error
            self._raise(error)
        return told

    def _told(self, answer: pb.RunResponse, inputs: Sequence[Encoding], dtype: TokenDtype | None) -> Told:
        tokens: list[npt.NDArray[Any]] = []
        try:
            rows = np.frombuffer(answer.rows, dtype="<f4").reshape(len(inputs), answer.dim)
            if dtype is not None:
                numbers = np.frombuffer(answer.token_rows, dtype=np.dtype(dtype).newbyteorder("<"))
                by_token = numbers.reshape(sum(len(one.ids) for one in inputs), answer.token_dim)
                tokens = np.split(by_token, np.cumsum([len(one.ids) for one in inputs])[:-1])
        except ValueError as error:
            raise UpstreamFailed(f"{self._name} answered what does not fit the question: {error}") from error
        return Told(rows, tokens, answer.waiting_tokens)

    def _refuse(self, error: grpc.aio.AioRpcError) -> NoReturn:
        """What it means for a batch that the server does not take it."""
        if _detail(error, ErrorInfo).reason == "OUT_OF_MEMORY":
            raise CallFailed("OutOfMemory", f"{self._name}: {error.details()}") from error
        if error.code() in (StatusCode.INVALID_ARGUMENT, StatusCode.NOT_FOUND):
            raise InputRefused(0, f"{self._name}: {error.details()}") from error
        self._raise(error)

    def _raise(self, error: grpc.aio.AioRpcError) -> NoReturn:
        code, said = error.code(), error.details() or _code_name(error)
        wait = _detail(error, RetryInfo).retry_delay.ToTimedelta().total_seconds()
        if code is StatusCode.RESOURCE_EXHAUSTED:
            raise Overloaded(f"{self._name} takes nothing more now: {said}", wait) from error
        if code in (StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED):
            raise UpstreamFailed(f"{self._name} does not accept this service's key: {said}") from error
        if code is StatusCode.DEADLINE_EXCEEDED:
            raise UpstreamTimedOut(f"{self._name} did not answer in time") from error
        if code is StatusCode.UNAVAILABLE and (wait or _NOT_SENT in said):
            raise UpstreamUnavailable(f"{self._name} is not there: {said}", wait or 1.0) from error
        raise UpstreamFailed(f"{self._name} failed: {said}") from error


class _Metadata:
    """What goes with every call: the key, and what it is a part of."""

    def __init__(self, key: str, context: Context) -> None:
        self._key = (("authorization", f"Bearer {key}"),) if key else ()
        self._context = context

    def __call__(self) -> tuple[tuple[str, str], ...]:
        return (*self._key, *((name.lower(), value) for name, value in self._context().items()))


def _is_not_finite(error: grpc.aio.AioRpcError) -> bool:
    """Whether one of the inputs has no vector: which, is found out by asking for each alone."""
    reason: str = _detail(error, ErrorInfo).reason
    return reason == "NOT_FINITE"


def _code_name(error: grpc.aio.AioRpcError) -> str:
    """Where the library has no more to say."""
    name: str = error.code().name
    return name


def _tokenizer(told: pb.Tokenizer) -> TokenizerFile | Any:
    if not told.description:
        return "fake"
    embedded = told.embedded if told.HasField("embedded") else None
    return TokenizerFile(told.description, told.lowercase, told.segments, embedded)


def _detail(error: grpc.aio.AioRpcError, kind: Any) -> Any:
    """The detail of this kind that came with an error, an empty one if none did."""
    found, status = kind(), Status()
    metadata = error.trailing_metadata()
    for name, value in metadata or ():
        if name == DETAILS:
            status.ParseFromString(value)
    for packed in status.details:
        if packed.Is(kind.DESCRIPTOR):
            packed.Unpack(found)
    return found


def _credentials(files: Certificates) -> grpc.ChannelCredentials:
    paths = (files.ca, files.key, files.cert)
    ca, key, cert = (None if path is None else path.read_bytes() for path in paths)
    return grpc.ssl_channel_credentials(ca, key, cert)


@asynccontextmanager
async def open_peer(
    name: str,
    model: str,
    kind: ModelKind,
    url: str,
    *,
    key: str,
    context: Context,
    files: Certificates,
) -> AsyncIterator[OwnPeer]:
    """The service at ``url`` (grpc:// or grpcs://) with a model called ``name`` here."""
    address = urlsplit(url)
    if address.scheme == "grpcs":
        channel = grpc.aio.secure_channel(address.netloc, _credentials(files), options=_OPTIONS)
    else:
        channel = grpc.aio.insecure_channel(address.netloc, options=_OPTIONS)
    async with channel:
        yield OwnPeer(name, url, (model, kind), WorkerStub(channel), _Metadata(key, context))
