"""The stub service and a way to run the command against it."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from cli_stub import Embedd, Stub
from click.testing import CliRunner, Result

from api.cli.root import root


@pytest.fixture
def stub() -> Iterator[Stub]:
    state = Stub()
    started = threading.Event()
    ending: list[Callable[[], object]] = []

    async def serve() -> None:
        runner = web.AppRunner(state.application())
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        state.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        end = asyncio.Event()
        loop = asyncio.get_running_loop()
        ending.append(lambda: loop.call_soon_threadsafe(end.set))
        started.set()
        await end.wait()
        await runner.cleanup()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert started.wait(10)
    yield state
    ending[0]()
    thread.join(10)


@pytest.fixture
def embedd(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> Embedd:
    """Runs ``embedd`` with these arguments in this process, against the stub."""
    monkeypatch.setenv("EMBEDD_URL", stub.url)
    monkeypatch.setenv("COLUMNS", "400")  # tables do not wrap

    def run(*arguments: str | Path, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(root, [str(argument) for argument in arguments], input=stdin)

    return run
