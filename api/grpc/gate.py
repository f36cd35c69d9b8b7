"""Who may call: the seam at which credentials are checked, once a call for who it is and once a message for
what it wants.
"""

from typing import Any, Literal, Protocol

Scope = Literal["read", "write"]


class Gate(Protocol):
    """Knows who holds which credentials."""

    async def identify(self, credentials: str | None) -> Any:
        """Who calls, by what their ``authorization`` metadata says; raises if that is nobody."""

    def check(self, identity: Any, scope: Any, collection: str | None) -> None:
        """Raises if they may not do this, there."""
