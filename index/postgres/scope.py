"""The passages that a search looks among, as SQL: all of them, or those whose documents match a filter."""

# ruff: noqa: S608 - statements are put together from names of tables; values are bound.

from dataclasses import dataclass

from index.filters import Filter
from index.postgres.filter_sql import compile_filter
from index.postgres.parameters import Parameters
from index.postgres.tables import LIVING, Tables


@dataclass(frozen=True, slots=True)
class Scope:
    """The passages of ``tables`` that have not expired and match ``condition``, if there is one."""

    tables: Tables
    condition: Filter | None = None

    def rows(self, parameters: Parameters) -> str:
        """Passages ``p``, for behind FROM and to be followed by AND. PostgreSQL may begin with the documents
        as well as with the passages.
        """
        if self.condition is None:
            return f"{self.tables.passages} AS p WHERE {self._not_expired}"
        where = compile_filter(self.condition, parameters)
        return f"{self.tables.joined} WHERE {LIVING} AND ({where})"

    def rows_in_order(self, parameters: Parameters) -> str:
        """The same passages, each held against the filter as it comes: for an index that gives them in the
        order that is asked for.
        """
        if self.condition is None:
            return self.rows(parameters)
        return f"{self.tables.passages} AS p WHERE {self.matches(parameters)}"

    def matches(self, parameters: Parameters) -> str:
        """What holds for a passage ``p`` in the scope."""
        where = compile_filter(self.condition, parameters)
        # An offset keeps PostgreSQL from beginning with the documents.
        return (
            f"EXISTS (SELECT 1 FROM {self.tables.documents} AS d"
            f" WHERE d.key = p.document AND {LIVING} AND ({where}) OFFSET 0)"
        )

    @property
    def _not_expired(self) -> str:
        """There is an index of documents that expire, so it costs nothing where none does."""
        return (
            f"p.document NOT IN (SELECT old.key FROM {self.tables.documents} AS old"
            " WHERE old.expires_at <= statement_timestamp())"
        )
