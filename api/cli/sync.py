"""A collection made equal to a folder: what is new or changed is ingested, then what is gone is deleted.

In this order, so that a file that was only moved finds the vectors of its old name and costs no embedding.
What is changed the service decides, by the content; nothing here trusts dates.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from itertools import islice

import click

from api.cli.client import Client, ServiceError, Upload, path_of
from api.cli.ingestion import patiently
from api.cli.selection import UNREADABLE, Selection
from api.schemas import Deleted, DocumentOutcome, DocumentPage

_DELETED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sync would do: the documents that it would write, and those that it would delete."""

    outcomes: Sequence[DocumentOutcome]
    gone: Sequence[str]

    def lines(self) -> Iterator[tuple[str, str]]:
        """What would become of each document that would not stay as it is."""
        for outcome in sorted(self.outcomes, key=lambda one: one.id):
            if outcome.status != "unchanged":
                yield outcome.status, outcome.id
        for id_ in self.gone:
            yield "deleted", id_


def check_folder(selection: Selection) -> None:
    """Refuse a folder whose absent files would be taken for deleted ones by mistake.

    Raises:
        click.ClickException: it has no file to ingest, or a folder in it cannot be read.
    """
    if selection.skipped[UNREADABLE]:
        raise click.ClickException(
            "a folder in it cannot be read, and its documents would be deleted: nothing was done"
        )
    if not selection.uploads:
        raise click.ClickException(
            "the folder has no file to ingest, and every document would be deleted: nothing was done. "
            "'embedd collections delete' empties a collection"
        )


def gone_from(client: Client, collection: str, there: Container[str]) -> list[str]:
    """The documents of the collection that are not ``there``; none if there is no collection."""
    return [id_ for id_ in _document_ids(client, collection) if id_ not in there]


def _document_ids(client: Client, collection: str) -> Iterator[str]:
    after: dict[str, str] = {}
    while True:
        try:
            body = client.send("GET", f"{path_of(collection)}/documents", params={"limit": 1000} | after)
        except ServiceError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return
        page = client.decode(body, DocumentPage)
        yield from (document.id for document in page.documents)
        if page.next is None:
            return
        after = {"after": page.next}


class Comparison:
    """Takes files as ``ingestion.Send`` does, and keeps what the service says would become of them."""

    def __init__(self, client: Client, collection: str, fields: Mapping[str, str]) -> None:
        self._client = client
        self._collection = collection
        self._fields = fields
        self.outcomes: list[DocumentOutcome] = []

    def __call__(self, uploads: Sequence[Upload], /) -> list[DocumentOutcome]:
        outcomes = self._outcomes_of(uploads)
        self.outcomes += outcomes
        return outcomes

    def _outcomes_of(self, uploads: Sequence[Upload]) -> list[DocumentOutcome]:
        try:
            return self._client.upload(self._collection, uploads, self._fields, dry_run=True)
        except ServiceError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
        return [DocumentOutcome(id=one.id, status="new", passages=0, tokens=0) for one in uploads]


def delete(client: Client, collection: str, ids: Sequence[str]) -> int:
    """Delete these documents; gives how many were there."""
    waiting, deleted = iter(ids), 0
    while some := list(islice(waiting, _DELETED_AT_ONCE)):
        deleted += patiently(partial(_delete, client, collection, some))
    return deleted


def _delete(client: Client, collection: str, ids: Sequence[str]) -> int:
    body = client.send("POST", f"{path_of(collection)}/documents/delete", json={"ids": ids})
    return client.decode(body, Deleted).deleted
