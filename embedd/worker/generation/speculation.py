"""How many tokens to guess for whom: as many as pay.

A drafted token that is accepted saves its request a step; one that is not has cost a row. It is worth its row
if the chance of being accepted is above the share that the row adds to everybody's step. So drafts are long
where one client is alone and its answer quotes its prompt, and there are none where many share the step, or
where guesses were wrong of late.
"""

from collections.abc import Mapping, Sequence

from embedd.worker.generation.pace import Pace
from embedd.worker.generation.requests import Request

_MOST = 15
_MARGIN = 1.2
"""By how much a row has to pay: worth and pace are estimates."""
_ASSUMED_SHARE = 0.05
"""Of a row in a step, before any were timed."""
_PROBE_EVERY = 32
_PROBE = 2
_CHEAP = 0.25
_FORGETTING = 0.85


class Speculation:
    """Drafts for the requests that are about to decode."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace

    def draft(self, requests: Sequence[Request]) -> Mapping[int, Sequence[int]]:
        """Drafts by a request's id, for those that have any."""
        rows, drafts = len(requests), {}
        for request in requests:
            if not request.speculate:
                continue
            most = self._length(request, len(requests), rows)
            found = _guess(request, min(most, request.max_tokens - request.answered - 1))
            if found:
                drafts[request.id] = found
                rows += len(found)
        return drafts

    def _length(self, request: Request, clients: int, rows: int) -> int:
        """How many drafted tokens are expected to pay, in a step that has ``rows`` so far."""
        cost, chance, length = _MARGIN * clients * self._share(rows), request.worth, 0
        while length < _MOST and chance > cost:
            length += 1
            chance *= request.worth
        if length == 0 and cost < _CHEAP and request.answered % _PROBE_EVERY == 0:
            return _PROBE
        return length

    def _share(self, rows: int) -> float:
        """What one more row adds to a step, as a share of it."""
        now, more = self._pace.seconds(rows), self._pace.seconds(rows + 8)
        return (more - now) / 8 / now if now else _ASSUMED_SHARE


def learn(request: Request, drafted: int, accepted: int) -> None:
    """Counts what became of a draft, and what the next one is worth."""
    request.accepted += accepted
    request.rejected += drafted - accepted
    trials = accepted + (accepted < drafted)
    if trials:
        request.worth += (1 - _FORGETTING**trials) * (accepted / trials - request.worth)


def _guess(request: Request, most: int) -> Sequence[int]:
    """What a grammar leaves no choice about, else what followed these tokens before."""
    if request.grammar is None:
        return request.lookup.draft(request.tokens, most) if most > 0 else ()
    forced = request.grammar.forced()
    if forced:
        return forced[: min(_MOST, request.max_tokens - request.answered - 1)]
    return request.grammar.allowed(request.lookup.draft(request.tokens, most)) if most > 0 else ()
