"""What it takes in SQL to leave out documents that have expired but are not deleted yet.

Constants without placeholders, so that any statement can have them. SQLite reads the clock once a statement.
"""

from typing import Final

NOW: Final = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
"""In the form in which moments are stored."""

LIVING: Final = f"(d.expires_at IS NULL OR d.expires_at > {NOW})"
"""Holds for a row ``d`` of ``documents`` that is still there."""

EXPIRED_SEQS: Final = (
    "(SELECT gone.seq FROM documents AS old JOIN passages AS gone ON gone.document = old.key"  # noqa: S608
    f" WHERE old.expires_at <= {NOW})"
)
"""The seqs of all points that are not there any more; an index knows when there are none."""
