"""The contract as types: embedding a collection again."""

from msgspec import field

from api.schemas import Request


class ReembedRequest(Request):
    """``into`` is the name of the collection to be made; the aliases in ``switch`` are its in the end."""

    model: str
    into: str
    switch: list[str] = field(default_factory=list)
