"""A model elsewhere as a running model: the same engine, over servers instead of workers.

The cache, the sharing of equal inputs, the lanes and the limits of what may wait are in front of it like in
front of any other.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace

from prometheus_client import CollectorRegistry

from embedd.cache import Cache
from embedd.encoding import Token
from embedd.engine import Engine, tokenizing_threads
from embedd.lanes import Lanes
from embedd.launch import ModelLimits
from embedd.metrics import Metrics, ModelMetrics
from embedd.remote.cards import card_of, named_tokenizer, tokenizer_of
from embedd.remote.measures import BytesAsTokens, NamedTokenizer, TokensByServer
from embedd.remote.peers import Facts, Peer
from embedd.remote.pool import RemotePool, Tell, open_remote_pool
from embedd.remote.specs import RemoteLimits, RemoteSpec, parse_remote
from embedd.remote.texts import TextsAsRead
from embedd.scheduler import open_scheduler
from embedd.specs import ModelSpec
from embedd.tokenizer import TextTokenizer

OpenPeer = Callable[[str], AbstractAsyncContextManager[Peer]]
"""The server at an address, which nothing is asked of yet."""


_CLOUD_CHECK_S = 30.0
"""What is named as OpenAI's may be a cloud, which is not asked without need as often as one's own servers."""


def tell_nobody(_: str) -> None:
    """For those who do not wait with others."""


@asynccontextmanager
async def open_remote_engine(
    spec: ModelSpec,
    open_peer: OpenPeer,
    limits: ModelLimits | None = None,
    times: RemoteLimits | None = None,
    *,
    metrics: ModelMetrics | None = None,
    cache: Cache | None = None,
    tell: Tell = tell_nobody,
) -> AsyncIterator[Engine]:
    """The model ``spec``, which is elsewhere; waits until one of its servers has said what it has.

    Raises:
        ModelLoadError: none of them has it, its tokenizer cannot be had, or what it reads is not known.
    """
    limits, times = limits or ModelLimits(), times or RemoteLimits()
    metrics = metrics or Metrics(CollectorRegistry()).of(spec.name)
    remote = parse_remote(spec.place)
    if remote.openai:
        times = replace(times, check_every_s=max(times.check_every_s, _CLOUD_CHECK_S))
    lanes = Lanes(max_waiting_tokens=limits.max_waiting_tokens, bulk_patience_s=limits.bulk_patience_s)
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(open_peer(url)) for url in remote.urls]
        pool = await stack.enter_async_context(open_remote_pool(spec.name, peers, times, metrics))
        facts = await pool.described(tell)
        card = card_of(spec, remote, facts)
        threads = stack.enter_context(tokenizing_threads())
        tokenizer = await _tokenizer(remote, facts, pool, times, stack)
        scheduler = await stack.enter_async_context(open_scheduler(pool, lanes, card.dim, metrics))
        yield Engine(
            card, tokenizer, pool=pool, scheduler=scheduler, cache=cache, threads=threads, metrics=metrics
        )


async def _tokenizer(
    remote: RemoteSpec, facts: Facts, pool: RemotePool, times: RemoteLimits, stack: AsyncExitStack
) -> TextTokenizer:
    """By what texts are measured: what the servers hand out, what the settings name, what the servers tell,
    or bytes.
    """
    if (own := await asyncio.to_thread(tokenizer_of, facts)) is not None:
        return own
    if (named := await asyncio.to_thread(named_tokenizer, remote.notes)) is not None:
        return TextsAsRead(NamedTokenizer(named))
    if not facts.tokenizes:
        return TextsAsRead(BytesAsTokens())

    async def tokenize(texts: Sequence[str], special: bool) -> list[list[Token]]:
        return await pool.ask(lambda peer: peer.tokenize(texts, special=special))

    async def decode(ids: Sequence[int], skip_special: bool) -> str:
        return await pool.ask(lambda peer: peer.decode(ids, skip_special=skip_special))

    measure = TokensByServer(tokenize, decode, times.silence_s)
    stack.callback(measure.close)  # before the threads are waited for, that wait for it
    return TextsAsRead(measure)
