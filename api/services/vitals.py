"""What Prometheus is told of the service as a whole: what it is, whether it is ready, how much it holds."""

import importlib.metadata
import platform
from functools import partial

from prometheus_client import CollectorRegistry, Gauge

from api.services.readiness import Readiness
from api.services.store_watch import StoreWatch
from api.storage import Storage

_BUILD = ("version", "python")


def tell_vitals(registry: CollectorRegistry, readiness: Readiness, storage: Storage) -> None:
    """Registers the series; all but the first are read when they are scraped."""
    build = Gauge("embedd_build_info", "Always 1; the labels say what runs", _BUILD, registry=registry)
    build.labels(importlib.metadata.version("embedd"), platform.python_version()).set(1)
    ready = Gauge("embedd_ready", "1 while /readyz answers 200, else 0", registry=registry)
    ready.set_function(lambda: not readiness.reasons())
    collections = Gauge("embedd_collections", "Collections of the catalog", registry=registry)
    collections.set_function(lambda: len(storage.catalog.names()))
    store = Gauge(
        "embedd_store_up", "1 while a store elsewhere can be used, else 0", ("store",), registry=registry
    )
    for watch in storage.watches:
        store.labels(watch.name).set_function(partial(_is_up, watch))


def _is_up(watch: StoreWatch) -> bool:
    return not watch.reason
