"""LangChain's own tests of chat models, by langchain-openai as it comes, against a model of a service.

The model is a table of what it likes to say (``bigram_model``), so its answers fit whatever a grammar asks
for, and mean nothing. Tests that are about meaning are left out, each with its reason.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from bigram_model import make_bigram_model
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from real_service import Launcher, Service

_LEFT_OUT = {
    "test_agent_loop": "to call a tool and then to answer without one, a model has to understand",
    "test_json_mode": "which keys the JSON should have is only said in words",
    "test_stream_time": "times are what benches are for",
    "test_unicode_tool_call_integration": "what to call the customer is only said in words",
}


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory, shared_services: Launcher) -> Service:
    """A service whose generator is such a model."""
    folder = make_bigram_model(tmp_path_factory.mktemp("bigram"))
    service = shared_services.start("--generator", str(folder))
    TestLangChain.url, TestLangChain.folder = service.url, folder
    return service


@pytest.mark.usefixtures("language_model")
@pytest.mark.filterwarnings("ignore::UserWarning")  # LangChain's, about its own types
class TestLangChain(ChatModelIntegrationTests):
    url: ClassVar[str]
    folder: ClassVar[Path]
    http: ClassVar[httpx.Client]
    http_async: ClassVar[httpx.AsyncClient]

    @pytest.fixture(autouse=True)
    async def clients(self, request: pytest.FixtureRequest) -> AsyncIterator[None]:
        """Connections of the test's own: langchain-openai's belong to the event loop that came first."""
        if reason := _LEFT_OUT.get(request.node.originalname):
            pytest.skip(reason)
        async with httpx.AsyncClient(trust_env=False) as TestLangChain.http_async:
            with httpx.Client(trust_env=False) as TestLangChain.http:
                yield

    @property
    def chat_model_class(self) -> type[ChatOpenAI]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "model": str(self.folder),
            "base_url": f"{self.url}/v1",
            "api_key": "unused",
            "temperature": 0,
            "max_tokens": 400,
            "stream_usage": True,
            "http_client": self.http,
            "http_async_client": self.http_async,
        }

    @property
    def has_tool_choice(self) -> bool:
        return True

    @property
    def supports_json_mode(self) -> bool:
        return True
