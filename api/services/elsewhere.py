"""How this service reaches models on other machines: keys, certificates, protocols."""

import importlib
import ssl
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from api.settings import Settings, upstream_key
from api.tracing import outgoing_headers
from embedd.cache import Cache
from embedd.engine import Engine
from embedd.launch import ModelLimits
from embedd.metrics import ModelMetrics
from embedd.remote.dialects import open_http_peer
from embedd.remote.launch import open_remote_engine
from embedd.remote.peers import Peer
from embedd.remote.pool import Tell
from embedd.remote.specs import Certificates, RemoteLimits, parse_remote
from embedd.specs import ModelKind, ModelSpec


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """``tls``: whose certificates servers must have, and what this service shows them; the machine's own
    ideas for None.
    """

    settings: Settings
    tls: ssl.SSLContext | None = None

    def engine(
        self,
        kind: ModelKind,
        spec: ModelSpec,
        limits: ModelLimits,
        *,
        metrics: ModelMetrics,
        cache: Cache | None,
        tell: Tell,
    ) -> AbstractAsyncContextManager[Engine]:
        """The model ``spec`` at its servers; raises what ``open_remote_engine`` does."""
        times = RemoteLimits(silence_s=self.settings.upstream_timeout_s)

        def open_peer(url: str) -> AbstractAsyncContextManager[Peer]:
            return self._peer(kind, spec, url, times)

        return open_remote_engine(spec, open_peer, limits, times, metrics=metrics, cache=cache, tell=tell)

    def _peer(
        self, kind: ModelKind, spec: ModelSpec, url: str, times: RemoteLimits
    ) -> AbstractAsyncContextManager[Peer]:
        remote, key = parse_remote(spec.place), upstream_key(spec.name, url)
        if not remote.of_our_own:
            return open_http_peer(
                spec.name,
                remote,
                kind,
                url,
                key=key,
                limits=times,
                context=outgoing_headers,
                tls=self.tls,
            )
        settings = self.settings
        peers = importlib.import_module("api.grpc.peers")
        peer: AbstractAsyncContextManager[Peer] = peers.open_peer(
            spec.name,
            remote.model,
            kind,
            url,
            key=key,
            context=outgoing_headers,
            files=Certificates(settings.remote_ca, settings.remote_cert, settings.remote_key),
        )
        return peer
