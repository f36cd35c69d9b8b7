"""Moments between texts, as the store's rows have them, and what asyncpg takes."""

from datetime import datetime

from index.codec import timestamp


def moment_of(text: str) -> datetime:
    """The moment that RFC 3339 text in UTC names."""
    return datetime.fromisoformat(text)


def optional_moment_of(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def optional_text_of(moment: datetime | None) -> str | None:
    return None if moment is None else timestamp(moment)
