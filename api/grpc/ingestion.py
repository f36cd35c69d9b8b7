"""One stream of documents on its way into one collection, and how far it is."""

from collections.abc import Sequence

from api.errors import InvalidRequest, RequestError, refuse
from api.grpc.reading import read
from api.grpc.v1 import index_pb2 as pb
from api.grpc.writing import describe_outcome
from api.http.index_requests import read_document
from api.schemas import DocumentRequest
from api.services.container import Services
from api.services.incoming import Incoming, Outcome
from api.services.limits import refuse_more
from index.errors import InvalidDocument, InvalidId
from index.store import Store


class Ingestion:
    """Writes what comes, and counts it. A document that cannot be written fails alone."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._store: Store | None = None
        self._collection = ""
        self._progress = pb.Progress()

    async def write(self, requests: Sequence[pb.IngestRequest]) -> pb.IngestResponse:
        """What became of the documents of these requests, and how far the stream is.

        Raises:
            InvalidRequest: they name no collection, or another one than those before.
            PayloadTooLarge: one has too many documents.
            StoreError, EmbeddError: as ``Ingestor.ingest``.
        """
        for request in requests:
            self._refuse(request)
        store = self._store = self._store or await self._services.catalog.get(self._collection)
        read_ones = [self._read(one, store) for request in requests for one in request.documents]
        written = iter(
            await self._services.ingestor.ingest(
                store, [one for one in read_ones if isinstance(one, Incoming)]
            )
        )
        outcomes = [next(written) if isinstance(one, Incoming) else one for one in read_ones]
        self._count(outcomes)
        return pb.IngestResponse(outcomes=map(describe_outcome, outcomes), progress=self._progress)

    def _refuse(self, request: pb.IngestRequest) -> None:
        self._collection = self._collection or request.collection
        if not self._collection:
            raise InvalidRequest("the first request names the `collection`", param="collection")
        if request.collection not in ("", self._collection):
            raise InvalidRequest(
                f"this stream goes to {self._collection!r}, not to {request.collection!r}: open another one",
                param="collection",
            )
        limit = self._services.settings.max_documents_per_request
        refuse_more(len(request.documents), limit, "documents")

    def _read(self, document: pb.Document, store: Store) -> Incoming | Outcome:
        """The document, or why it is none; its number is the stream's."""
        number = self._progress.received
        self._progress.received += 1
        self._services.ingestor.check(store, ())  # what is wrong with the collection is no document's fault
        try:
            incoming = read_document(number, read(document, DocumentRequest))
            self._services.ingestor.check(store, [incoming])
        except (RequestError, InvalidDocument, InvalidId) as error:
            return Outcome(document.id, "failed", error=str(error), code=refuse(error).code)
        return incoming

    def _count(self, outcomes: Sequence[Outcome]) -> None:
        progress = self._progress
        progress.done += len(outcomes)
        progress.failed += sum(one.status == "failed" for one in outcomes)
        progress.passages += sum(one.passages for one in outcomes)
        progress.tokens += sum(one.tokens for one in outcomes)
