"""What handlers may use: the long-lived parts of one running service, made in `api.app`."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from api.live_settings import LiveSettings
from api.security.gate import Gate
from api.services.answer import Answerer
from api.services.complete import Completer
from api.services.conversations import Conversations
from api.services.follow_up import FollowUps
from api.services.ingest import Ingestor
from api.services.jobs import JobRunner
from api.services.live_answers import LiveAnswers
from api.services.model_registry import ModelRegistry
from api.services.models import Models
from api.services.readiness import Readiness
from api.services.reembed import Reembedder
from api.services.retrieve import Retriever
from api.settings import Settings
from api.tracing import Tracing
from api.ui.assets import Asset
from index.catalogs import Collections


@dataclass(frozen=True, slots=True)
class Services:
    """One running service; ``live`` has its settings as they are now, ``metrics`` all that it counts,
    ``tracing`` follows requests if that is wanted, ``assets`` has the files of the web page.
    """

    live: LiveSettings
    models: Models
    registry: ModelRegistry
    catalog: Collections
    ingestor: Ingestor
    retriever: Retriever
    answerer: Answerer
    conversations: Conversations
    follow_ups: FollowUps
    live_answers: LiveAnswers
    completer: Completer
    jobs: JobRunner
    reembedder: Reembedder
    readiness: Readiness
    metrics: CollectorRegistry
    tracing: Tracing | None
    assets: Mapping[str, Asset]
    gate: Gate

    @property
    def settings(self) -> Settings:
        """The settings that hold now."""
        return self.live.now
