"""How much one request may ask for."""

from api.errors import PayloadTooLarge


def refuse_more(count: int, limit: int, param: str) -> None:
    """Raises ``PayloadTooLarge`` if the field ``param`` of a request has more than ``limit`` inputs."""
    if count > limit:
        raise PayloadTooLarge(
            f"`{param}` has {count} inputs, the limit is {limit}: send them in several requests", param=param
        )
