"""Several upstreams with the same generator: who is asked, and who instead where one does not begin to
answer.

Knows clients and times; nothing of what is said. Nobody is asked without need: one that did not answer is
left alone for a while, longer each time, and then gets the next request that no other takes better.

Invariant: an answer that has begun is never begun again by another.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from embedd.errors import EmbeddError, Overloaded, UpstreamError, UpstreamRefused, UpstreamTimedOut
from embedd.upstream.client import UpstreamClient

_FIRST_REST_S = 0.5
_LONGEST_REST_S = 15.0


class _Replica:
    """One upstream: how many answers are ``under_way`` there, and until when it is left alone."""

    def __init__(self, client: UpstreamClient) -> None:
        self.client = client
        self.under_way = 0
        self.rests_until = -math.inf
        self._rest_s = _FIRST_REST_S

    def failed(self, error: EmbeddError, now: float) -> None:
        asked_s = error.retry_after_s if isinstance(error, Overloaded) else 0.0
        self.rests_until = now + max(asked_s, self._rest_s)
        self._rest_s = min(2 * self._rest_s, _LONGEST_REST_S)

    def answered(self) -> None:
        self.rests_until, self._rest_s = -math.inf, _FIRST_REST_S


class UpstreamReplicas:
    """Asks as ``UpstreamClient`` does."""

    def __init__(self, clients: Sequence[UpstreamClient]) -> None:
        self._replicas = [_Replica(client) for client in clients]
        self._clock = asyncio.get_running_loop().time

    async def stream(self, path: str, body: Mapping[str, object]) -> AsyncGenerator[bytes, None]:
        """The data of each event of the answer to ``body``; raises what ``UpstreamClient.stream`` does, of
        the last one that was asked.
        """
        *others, last = self._by_turn()
        for replica in others:
            begun = False
            try:
                async with aclosing(self._ask(replica, path, body)) as events:
                    async for event in events:
                        begun = True
                        yield event
            except (UpstreamRefused, UpstreamTimedOut):
                raise
            except (UpstreamError, Overloaded):
                if begun:
                    raise
            else:
                return
        async with aclosing(self._ask(last, path, body)) as events:
            async for event in events:
                yield event

    def _by_turn(self) -> list[_Replica]:
        """Those that rest at the end; of the others the one with the least to do first."""
        now = self._clock()
        return sorted(self._replicas, key=lambda one: (max(one.rests_until, now), one.under_way))

    async def _ask(
        self, replica: _Replica, path: str, body: Mapping[str, object]
    ) -> AsyncGenerator[bytes, None]:
        replica.under_way += 1
        try:
            async with aclosing(replica.client.stream(path, body)) as events:
                async for event in events:
                    replica.answered()
                    yield event
        except UpstreamRefused:
            raise
        except (UpstreamError, Overloaded) as error:
            replica.failed(error, self._clock())
            raise
        finally:
            replica.under_way -= 1
