"""The next tokens, from logits: each request by its own settings, whatever runs beside it.

In this order: logit_bias, penalties, the grammar's mask, temperature, top_k, top_p, min_p. Penalties are
vLLM's: presence and frequency count the answer's tokens, repetition the prompt's as well. Log-probabilities
are those of the model, before any of it.

Drafts are verified by choosing a token at each of them as if there were no draft, by the very number that
would have chosen it; the first that differs is the answer's, and what was guessed behind it is dropped. For a
guess without a distribution of its own that is rejection sampling: it is accepted with the probability the
model gives it, and what replaces it is distributed as the rest (Leviathan et al.,
https://arxiv.org/abs/2211.17192).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
import numpy.typing as npt
import torch

from embedd.worker.generation.requests import Request, Work

_LIKELIEST = 1024
"""How many tokens are sorted at first; all, where a cut lies beyond."""

LogProbs = tuple[float, list[tuple[int, float]]]
"""That of the chosen token, and the best ones with theirs."""


@dataclass(frozen=True, slots=True)
class Choice:
    """``token`` is None where the logits are no numbers."""

    token: int | None
    logprobs: LogProbs | None


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of logits: the ``ahead`` of a request's next token, if all ``drafts`` before it are right."""

    number: int
    request: Request
    drafts: Sequence[int]


@torch.inference_mode()
def choose(plan: Sequence[Work], logits: torch.Tensor) -> list[list[Choice]]:
    """A choice for each sampled row of each work in ``plan``; ``logits`` (rows, vocab) are changed."""
    rows = list(_rows(plan))
    finite = torch.isfinite(logits.amax(dim=-1)).tolist() if rows else []
    asked = [row for row in rows if row.request.logprobs is not None]
    raw = torch.log_softmax(logits[[row.number for row in asked]], dim=-1) if asked else logits
    _edit(rows, logits)
    _mask(plan, logits)
    tokens = _draw(rows, logits)
    logprobs = {row.number: _report(row, tokens[row.number], raw[place]) for place, row in enumerate(asked)}
    choices = [
        Choice(tokens[row.number] if finite[row.number] else None, logprobs.get(row.number)) for row in rows
    ]
    borders = np.cumsum([0, *(work.sampled for work in plan)])
    return [choices[first:last] for first, last in pairwise(borders)]


def _rows(plan: Sequence[Work]) -> Iterator[_Row]:
    number = 0
    for work in plan:
        for ahead in range(work.sampled):
            yield _Row(number, work.request, work.drafts[:ahead])
            number += 1


def _edit(rows: Sequence[_Row], logits: torch.Tensor) -> None:
    for row in rows:
        sampling = row.request.sampling
        if sampling.logit_bias:
            tokens = torch.tensor(list(sampling.logit_bias), device=logits.device)
            logits[row.number, tokens] += torch.tensor(
                list(sampling.logit_bias.values()), dtype=logits.dtype, device=logits.device
            )
        if sampling.penalises:
            _penalise(row, logits[row.number])


def _penalise(row: _Row, logits: torch.Tensor) -> None:
    request, sampling = row.request, row.request.sampling
    counts = request.counts + Counter(row.drafts)
    if sampling.repetition_penalty != 1.0:
        seen = torch.tensor(sorted({*request.tokens, *row.drafts}), device=logits.device)
        values = logits[seen]
        penalty = sampling.repetition_penalty
        logits[seen] = torch.where(values > 0, values / penalty, values * penalty)
    if counts:
        tokens = torch.tensor(list(counts), device=logits.device)
        times = torch.tensor(list(counts.values()), dtype=logits.dtype, device=logits.device)
        logits[tokens] -= sampling.presence_penalty + sampling.frequency_penalty * times


def _mask(plan: Sequence[Work], logits: torch.Tensor) -> None:
    first = 0
    for work in plan:
        grammar = work.request.grammar
        if grammar is not None and work.sampled:
            allowed = torch.from_numpy(grammar.mask(work.drafts, logits.shape[1])).to(logits.device)
            logits[first : first + work.sampled].masked_fill_(~allowed, float("-inf"))
        first += work.sampled


def _draw(rows: Sequence[_Row], logits: torch.Tensor) -> list[int]:
    """A token for each row: the likeliest, or one at random."""
    if not rows:
        return []
    tokens: list[int] = logits.argmax(dim=-1).tolist()
    random = [row for row in rows if not row.request.sampling.greedy]
    random.sort(key=lambda row: row.request.sampling.cuts)
    for cuts, alike in groupby(random, key=lambda row: row.request.sampling.cuts):
        group = list(alike)
        temperatures = torch.tensor([row.request.sampling.temperature for row in group])
        scaled = logits[[row.number for row in group]] / temperatures.to(logits.device)[:, None]
        uniforms = np.array([row.request.uniform(len(row.drafts)) for row in group])
        drawn = _draw_alike(torch.softmax(scaled, dim=-1), cuts, uniforms)
        tokens = _with(tokens, group, drawn)
    return tokens


def _with(tokens: list[int], rows: Sequence[_Row], drawn: Sequence[int]) -> list[int]:
    changed = list(tokens)
    for row, token in zip(rows, drawn, strict=True):
        changed[row.number] = token
    return changed


def _draw_alike(
    chances: torch.Tensor, cuts: tuple[int, float, float], uniforms: npt.NDArray[np.float64]
) -> list[int]:
    """A token for each row of ``chances`` (n, vocab), cut alike, at ``uniforms`` (n,) of what is left."""
    if cuts == (0, 1.0, 0.0):
        return [_at(row, uniform) for row, uniform in zip(chances.cpu().numpy(), uniforms, strict=True)]
    vocab = chances.shape[-1]
    width = min(vocab, max(cuts[0], 0) or _LIKELIEST)
    best, order = chances.topk(width, dim=-1)
    drawn = []
    for number, uniform in enumerate(uniforms):
        values, tokens = best[number].cpu().numpy(), order[number].cpu().numpy()
        kept = cut(values, cuts)
        if kept == width < vocab and not cuts[0]:
            sorted_, all_ = chances[number].sort(descending=True, stable=True)
            values, tokens = sorted_.cpu().numpy(), all_.cpu().numpy()
            kept = cut(values, cuts)
        drawn.append(int(tokens[_at(values[:kept], uniform)]))
    return drawn


def cut(chances: npt.NDArray[np.float32], cuts: tuple[int, float, float]) -> int:
    """How many of ``chances`` (n,), which fall, are kept: by ``top_k``, then ``top_p`` of those, then
    ``min_p``.
    """
    top_k, top_p, min_p = cuts
    kept = min(top_k, len(chances)) if top_k else len(chances)
    if top_p < 1.0:
        sums = np.cumsum(chances[:kept], dtype=np.float64)
        whole = sums[-1] if top_k else 1.0
        kept = min(kept, int(np.searchsorted(sums, top_p * whole, side="left")) + 1)
    if min_p > 0.0:
        kept = int(np.count_nonzero(chances[:kept] >= min_p * chances[0]))
    return max(kept, 1)


def _at(chances: npt.NDArray[np.float32], uniform: float) -> int:
    """The place in ``chances``, as they are or scaled, at which their running sum passes ``uniform`` of the
    whole.
    """
    sums = np.cumsum(chances, dtype=np.float64)
    place = int(np.searchsorted(sums, uniform * sums[-1], side="right"))
    return min(place, len(chances) - 1)


def _report(row: _Row, token: int, raw: torch.Tensor) -> LogProbs:
    wanted = row.request.logprobs
    assert wanted is not None
    values, tokens = raw.topk(min(wanted, raw.shape[-1]))
    return float(raw[token]), list(zip(tokens.tolist(), values.tolist(), strict=True))
