"""What a route asks of whoever calls it; one of the few below stands in each line of the route table."""

from dataclasses import dataclass
from typing import Final

from api.security.identity import Audience, Scope


@dataclass(frozen=True, slots=True)
class Needs:
    """A scope, None where nobody is asked for a key, and which keys with limits it serves."""

    scope: Scope | None
    audience: Audience = "all"

    @property
    def changes(self) -> bool:
        """Whether who has it may change something."""
        return self.scope in (Scope.WRITE, Scope.ADMIN)


PUBLIC: Final = Needs(None)
READ: Final = Needs(Scope.READ)
READ_UNTAGGED: Final = Needs(Scope.READ, "untagged")
READ_UNLIMITED: Final = Needs(Scope.READ, "unlimited")
WRITE: Final = Needs(Scope.WRITE)  # keys with tags only read
WRITE_UNLIMITED: Final = Needs(Scope.WRITE, "unlimited")
ADMIN: Final = Needs(Scope.ADMIN, "unlimited")  # who makes keys could make one without limits
