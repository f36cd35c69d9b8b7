"""The public HTTP contract as typed, blocking calls; errors become one readable line each.

Bodies are the structs of ``api.schemas``, the same that the service checks and writes. A `Client` may be
shared between threads. It knows no terminal and never retries: who calls decides that.
"""

import ssl
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlsplit

import click
import httpx
import msgspec

from api.cli.event_stream import events_of
from api.cli.steady_file import SteadyFile
from api.schemas import (
    CollectionAnswer,
    CollectionList,
    Deleted,
    DocumentOutcome,
    DocumentOutcomes,
    ErrorAnswer,
    Info,
    Readiness,
    SearchAnswer,
)
from api.schemas_chat import ChatChunk
from api.schemas_conversations import ConversationAnswer
from api.schemas_transfer import Imported

T = TypeVar("T")

_CONNECT_TIMEOUT_S = 5.0
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class ServiceError(click.ClickException):
    """The service refused, or is no embedd service; ``status`` is the HTTP status, 0 where there is none."""

    def __init__(self, message: str, *, status: int = 0, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class ConnectionLostError(ServiceError):
    """Nobody listens there, or the connection broke before the answer."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One file to ingest: a path that is opened when it is sent, or its bytes.

    ``media_type`` is needed where the id does not end like a file's name.
    """

    id: str
    content: Path | bytes
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service is, the key that it asks for, a file of certificates that its own may rest on, beside
    those that this machine knows, and a file with a certificate of the client's and its key.
    """

    url: str
    api_key: str | None = field(default=None, repr=False)
    cacert: Path | None = None
    cert: Path | None = None


class Client:
    """One service. ``timeout_s`` bounds the silence before an answer: ingesting takes a while."""

    def __init__(self, at: Address | str, *, timeout_s: float = 600.0) -> None:
        at = at if isinstance(at, Address) else Address(at)
        self.url = url = at.url.rstrip("/")
        self._http = httpx.Client(
            base_url=url,
            headers={} if at.api_key is None else {"Authorization": f"Bearer {at.api_key}"},
            verify=_trust(at),
            timeout=httpx.Timeout(timeout_s, connect=_CONNECT_TIMEOUT_S),
            # A proxy set for the outside world must not get between two processes of one machine.
            trust_env=urlsplit(url).hostname not in _LOOPBACK,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def readiness(self) -> Readiness:
        """Whether everything is up, and if not, what is waited for."""
        with self._in_words():
            response = self._http.get("/readyz")
        if response.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
            _raise_for_status(response)
        return self.decode(response.content, Readiness)

    def info(self) -> Info:
        """Version, models and limits."""
        return self.decode(self.send("GET", "/v1/info"), Info)

    def ensure_collection(self, name: str) -> None:
        """Create ``name`` unless it is there, whatever its settings are; with token vectors, which chats find
        more by.
        """
        try:
            self.send("GET", path_of(name))
        except ServiceError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            self.send("PUT", path_of(name), json={"token_vectors": "2bit"})

    def collections(self) -> bytes:
        """The answer as it came, in JSON; `collections_of` reads it."""
        return self.send("GET", "/v1/collections")

    def collections_of(self, answer: bytes) -> list[CollectionAnswer]:
        return self.decode(answer, CollectionList).collections

    def collection(self, name: str) -> bytes:
        """The answer as it came, in JSON; `collection_of` reads it."""
        return self.send("GET", path_of(name))

    def create_collection(self, name: str, settings: dict[str, Any]) -> bytes:
        """Like `collection`; ``settings`` is the contract's request body."""
        return self.send("PUT", path_of(name), json=settings)

    def collection_of(self, answer: bytes) -> CollectionAnswer:
        return self.decode(answer, CollectionAnswer)

    def delete_collection(self, name: str) -> bool:
        """Whether it was there."""
        return self.decode(self.send("DELETE", path_of(name)), Deleted).deleted > 0

    def upload(
        self,
        collection: str,
        uploads: Sequence[Upload],
        fields: Mapping[str, str] | None = None,
        *,
        dry_run: bool = False,
    ) -> list[DocumentOutcome]:
        """Ingest the files and wait for it: one outcome each, in order. The form's other ``fields`` are for
        all of them. With ``dry_run`` nothing is written, and the outcomes say what would be.

        Raises:
            OSError: a file cannot be read; nothing was sent to the end.
            ServiceError: the request as a whole was refused or lost.
        """
        with ExitStack() as stack:
            body = self.send(
                "POST",
                f"{path_of(collection)}/documents",
                params={"dry_run": "true"} if dry_run else {"wait": "true"},
                files=[("file", _part(upload, stack)) for upload in uploads],
                data=dict(fields or {}),
            )
        return self.decode(body, DocumentOutcomes).documents

    def search(self, collection: str, query: dict[str, Any]) -> bytes:
        """The answer as it came, in JSON; `hits_of` reads it. ``query`` is the contract's request body."""
        return self.send("POST", f"{path_of(collection)}/search", json=query)

    def hits_of(self, answer: bytes) -> SearchAnswer:
        return self.decode(answer, SearchAnswer)

    def export(self, collection: str, after: str | None) -> Generator[bytes, None, None]:
        """The lines of an export, behind the document ``after`` if one is named, in pieces of any length.

        Raises:
            ConnectionLostError: also in the middle; the lines that were whole are good.
        """
        path, params = f"{path_of(collection)}/export", {} if after is None else {"after": after}
        with self._in_words(), self._http.stream("GET", path, params=params) as response:
            if response.is_error:
                response.read()
            _raise_for_status(response)
            yield from response.iter_bytes()

    def import_lines(self, collection: str, lines: bytes) -> Imported:
        """Write the documents of an export."""
        return self.decode(self.send("POST", f"{path_of(collection)}/import", content=lines), Imported)

    def begin_conversation(self, settings: dict[str, Any]) -> ConversationAnswer:
        """A new one; ``settings`` is the contract's request body."""
        return self.decode(self.send("POST", "/v1/conversations", json=settings), ConversationAnswer)

    def chat(
        self,
        messages: Sequence[dict[str, str]],
        collection: str | None,
        generator: str | None = None,
        *,
        conversation: str | None = None,
        retrieval: Mapping[str, Any] | None = None,
    ) -> Generator[ChatChunk, None, None]:
        """The chunks of one streamed answer out of ``collection``; closing the iterator ends the request.

        ``messages`` have a ``role`` and a ``content``, the oldest first; those of the ``conversation`` come
        before them, and without a collection its own is asked. ``retrieval`` says more of how to search.

        Raises:
            ServiceError: refused before or failed during the answer.
        """
        body: dict[str, Any] = {"messages": list(messages), "stream": True}
        optional: dict[str, Any] = {"model": generator, "conversation": conversation}
        if collection is not None:
            optional["retrieval"] = {"collection": collection, **(retrieval or {})}
        body |= {name: value for name, value in optional.items() if value is not None}
        return self.events("POST", "/v1/chat/completions", ChatChunk, json=body)

    def events(self, method: str, path: str, kind: type[T], **request: Any) -> Generator[T, None, None]:
        """The events of a stream, to its end; closing the iterator ends the request."""
        with self._in_words(), self._http.stream(method, path, **request) as response:
            if response.is_error:
                response.read()
            _raise_for_status(response)
            for data in events_of(response.iter_lines()):
                if data == "[DONE]":
                    return
                if data.startswith('{"error"'):
                    raise ServiceError(f"the answer broke off: {_message(data.encode()) or data}")
                yield self.decode(data.encode(), kind)
        raise ConnectionLostError(f"{self.url} ended the answer in the middle; ask again")

    def send(self, method: str, path: str, **request: Any) -> bytes:
        """The body of the answer to one request; ``request`` is in httpx's words."""
        with self._in_words():
            response = self._http.request(method, path, **request)
        _raise_for_status(response)
        return response.content

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError as error:
            raise ConnectionLostError(
                f"cannot reach embedd at {self.url} ({_reason(error)}). "
                "Start it with 'embedd serve', or name another address with --url or EMBEDD_URL."
            ) from error
        except httpx.TimeoutException as error:
            raise ServiceError(f"no answer from {self.url} in time; look at the service's log") from error
        except httpx.TransportError as error:
            raise ConnectionLostError(f"lost the connection to {self.url} ({_reason(error)})") from error

    def decode(self, body: bytes, kind: type[T]) -> T:
        """An answer of this contract."""
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.MsgspecError as error:
            raise ServiceError(
                f"{self.url} does not answer like an embedd service of this version ({error})"
            ) from error


def _trust(at: Address) -> ssl.SSLContext | bool:
    if at.cacert is None and at.cert is None:
        return True
    context = ssl.create_default_context()
    try:
        if at.cacert is not None:
            context.load_verify_locations(at.cacert)
        if at.cert is not None:
            context.load_cert_chain(at.cert)
    except OSError as error:  # SSLError is one
        files = " and ".join(str(path) for path in (at.cacert, at.cert) if path is not None)
        raise click.ClickException(f"cannot use the certificates in {files}: {error}") from error
    return context


def path_of(name: str) -> str:
    """Of the collection ``name``."""
    return f"/v1/collections/{quote(name, safe='')}"


def _part(upload: Upload, stack: ExitStack) -> tuple[str, Any, str | None]:
    """Name, content and type of one part of the form; without a type httpx guesses it from the name."""
    content = upload.content
    opened = content if isinstance(content, bytes) else stack.enter_context(SteadyFile(content))
    return upload.id, opened, upload.media_type


def _raise_for_status(response: httpx.Response) -> None:
    if response.is_success:
        return
    status = f"{response.status_code} {response.reason_phrase}".strip()
    message = _message(response.content) or f"{response.url} answered {status}: is this an embedd service?"
    raise ServiceError(message, status=response.status_code, retry_after_s=_retry_after(response))


def _message(body: bytes) -> str | None:
    try:
        return msgspec.json.decode(body, type=ErrorAnswer).error.message
    except msgspec.MsgspecError:
        return None


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds to wait; the header's other form, a date, is not what this service sends."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
