"""What the fields of TEI's bodies mean here."""

from collections.abc import Sequence
from typing import TypeVar

from api.errors_tei import NothingGiven
from api.schemas_tei import TeiOptions
from embedd.tokenizer import Truncate

T = TypeVar("T")
Texts = Sequence[str | Sequence[int]]


def given(items: Sequence[T], param: str) -> Sequence[T]:
    """``items``, of which there are some.

    Raises:
        NothingGiven: TEI tells an empty list from one with an empty text in it.
    """
    if not items:
        raise NothingGiven(f"`{param}` is empty: send at least one", param=param)
    return items


def truncation_of(options: TeiOptions) -> Truncate:
    """TEI names the end that is given up; left out it cuts, and ``false`` refuses."""
    if options.truncate is False:
        return "none"
    return "start" if options.truncation_direction.lower() == "left" else "end"


def characters_of(texts: Texts) -> int:
    """Code points, or ids where ids came, as TEI counts them."""
    return sum(map(len, texts))
