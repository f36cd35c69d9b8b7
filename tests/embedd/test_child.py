"""Child processes: real ones, killed for real."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import uvloop

from embedd.child import Child, open_child
from embedd.errors import CallFailed, ChildDied, ChildTimedOut
from embedd.frames import FrameError, receive_frame, send_frame
from embedd.serving import serve

MODULE = "rehearsing_child"


async def test_a_call_brings_back_values_and_arrays() -> None:
    vectors = np.arange(6, dtype=np.float32).reshape(2, 3)
    async with open_child(MODULE) as child:
        reply = await child.call("echo", {"vectors": vectors, "names": ["a", "ü"], "none": None})
    assert reply["names"] == ["a", "ü"]
    assert reply["none"] is None
    np.testing.assert_array_equal(reply["vectors"], vectors)
    assert reply["vectors"].dtype == np.float32


async def test_many_calls_in_flight_get_their_own_answers() -> None:
    async with open_child(MODULE) as child:
        replies = await asyncio.gather(
            *(child.call("echo", {"n": n, "pad": b"x" * 20_000}) for n in range(50))
        )
    assert [reply["n"] for reply in replies] == list(range(50))


async def test_what_a_handler_raises_comes_back_and_the_child_goes_on() -> None:
    async with open_child(MODULE) as child:
        with pytest.raises(CallFailed, match="no such page") as failure:
            await child.call("fail", {"message": "no such page"})
        assert failure.value.kind == "ValueError"
        assert await child.call("echo", {"still": "here"}) == {"still": "here"}


@pytest.mark.parametrize("op", ["unsendable", "no_such_op"])
async def test_a_call_that_cannot_be_answered_fails_and_the_child_goes_on(op: str) -> None:
    async with open_child(MODULE) as child:
        with pytest.raises(CallFailed):
            await child.call(op, {})
        assert await child.call("echo", {}) == {}


async def test_a_killed_child_fails_all_that_is_pending_and_every_later_call(tmp_path: Path) -> None:
    marker = tmp_path / "hanging"
    async with open_child(MODULE, name="the parser") as child:
        calls = [asyncio.ensure_future(child.call("hang", {"marker": str(marker)})) for _ in range(3)]
        await appearance(marker)
        os.kill(child.pid, signal.SIGKILL)
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ChildDied] * 3
        assert str(outcomes[0]) == "the parser was killed by SIGKILL"
        with pytest.raises(ChildDied):
            await child.call("echo", {})


@pytest.mark.parametrize(
    ("op", "payload", "exit_code"),
    [("die", {"signal": signal.SIGSEGV}, -signal.SIGSEGV), ("leave", {"code": 3}, 3)],
)
async def test_the_exit_code_is_told(op: str, payload: dict[str, int], exit_code: int) -> None:
    async with open_child(MODULE) as child:
        with pytest.raises(ChildDied) as death:
            await child.call(op, payload)
    assert death.value.exit_code == exit_code
    assert child.exit_code == exit_code


async def test_a_call_that_takes_too_long_kills_the_child(tmp_path: Path) -> None:
    async with open_child(MODULE) as child:
        with pytest.raises(ChildTimedOut, match=r"within 0\.2 s"):
            await child.call("hang", {"marker": str(tmp_path / "hanging")}, timeout_s=0.2)
        await child.closed.wait()
    assert child.exit_code == -signal.SIGKILL


async def test_a_cancelled_call_leaves_the_child_alive() -> None:
    async with open_child(MODULE) as child:
        call = asyncio.ensure_future(child.call("echo", {"n": 1}))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await child.call("echo", {"n": 2}) == {"n": 2}


async def test_what_a_child_says_unasked_is_told_in_order_and_before_its_reply() -> None:
    told: list[object] = []
    async with open_child(MODULE, on_event=told.append) as child:
        call = child.begin("speak", {"times": 3})
        call.reply.add_done_callback(lambda reply: told.append(reply.result()))
        await call.reply
        await asyncio.sleep(0)
    assert told == [{"number": 0}, {"number": 1}, {"number": 2}, {}]


async def test_what_nobody_listens_to_and_nobody_waits_for_harms_nothing() -> None:
    async with open_child(MODULE) as child:
        child.tell("speak", {"times": 3})
        child.tell("fail", {"message": "nobody hears of it"})
        assert await child.call("echo", {"n": 1}) == {"n": 1}
        child.kill()
        await child.closed.wait()
        child.tell("echo", {})
        with pytest.raises(ChildDied):
            child.begin("echo", {})


async def test_a_child_that_writes_nonsense_is_ended() -> None:
    async with open_child(MODULE) as child:
        with pytest.raises(ChildDied):
            await child.call("garble", {})
        await child.closed.wait()


async def test_leaving_ends_a_child_that_is_busy_and_not_reading(tmp_path: Path) -> None:
    marker = tmp_path / "hanging"
    async with open_child(MODULE, grace_s=60) as child:
        hanging = asyncio.ensure_future(child.call("hang", {"marker": str(marker)}))
        await appearance(marker)
        flooding = asyncio.ensure_future(child.call("echo", {"pad": bytes(4 * 2**20)}))
        await asyncio.sleep(0)
    for call in (hanging, flooding):
        with pytest.raises(ChildDied):
            await call
    assert child.exit_code == 0, "it left by itself when the socket closed"
    assert is_gone(child.pid)


async def test_a_child_outlives_a_closed_socket_only_for_its_grace(tmp_path: Path) -> None:
    marker = tmp_path / "hanging"
    async with open_child(MODULE, grace_s=0.05) as child:
        hanging = asyncio.ensure_future(child.call("hang", {"marker": str(marker)}))
        await appearance(marker)
        os.kill(child.pid, signal.SIGSTOP)
        await stopping(child.pid)
    with pytest.raises(ChildDied):
        await hanging
    assert child.exit_code == -signal.SIGKILL


async def test_the_child_inherits_its_own_socket_alone() -> None:
    strangers = socket.socketpair()
    for stranger in strangers:
        stranger.set_inheritable(True)
    with strangers[0], strangers[1]:
        async with open_child(MODULE) as child:
            facts = await child.call("describe", {})
    others = {fd: target for fd, target in facts["fds"].items() if int(fd) > 2}
    assert len(others) == 1
    assert next(iter(others.values())).startswith("socket:")
    assert facts["fds"]["0"] == facts["fds"]["1"] == "/dev/null"


async def test_the_child_has_its_own_session_and_does_not_import_from_the_current_folder() -> None:
    async with open_child(MODULE) as child:
        facts = await child.call("describe", {})
        assert facts["session"] == child.pid
        assert "" not in facts["path"]
        assert str(Path.cwd()) not in facts["path"][:1]


def test_a_parent_that_is_killed_leaves_no_orphan(tmp_path: Path) -> None:
    marker = tmp_path / "hanging"
    script = (
        "import asyncio, sys\n"
        "from embedd.child import open_child\n"
        "async def main():\n"
        f"    async with open_child({MODULE!r}) as child:\n"
        "        print(child.pid, flush=True)\n"
        f"        await child.call('hang', {{'marker': {str(marker)!r}}})\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        orphan = os.pidfd_open(pid)
        asyncio.run(appearance(marker))
        parent.kill()
        parent.wait()
    try:
        asyncio.run(readable(orphan))
    finally:
        os.close(orphan)


async def test_a_module_that_does_not_exist_is_a_child_that_died(capfd: pytest.CaptureFixture[str]) -> None:
    async with open_child("no_such_module_anywhere") as child:
        with pytest.raises(ChildDied, match="exit code 1"):
            await child.call("echo", {})
    assert "no_such_module_anywhere" in capfd.readouterr().err


async def test_a_python_that_does_not_exist_is_an_os_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(FileNotFoundError):
        async with open_child(MODULE):
            pytest.fail("it started")
    gc.collect()  # a leaked socket would be a ResourceWarning, and warnings are errors here


async def test_a_cancelled_owner_leaves_no_process() -> None:
    started: asyncio.Future[Child] = asyncio.get_running_loop().create_future()

    async def own_a_child() -> None:
        async with open_child(MODULE) as child:
            started.set_result(child)
            await asyncio.Event().wait()

    owner = asyncio.ensure_future(own_a_child())
    child = await started
    owner.cancel()
    with pytest.raises(asyncio.CancelledError):
        await owner
    assert child.closed.is_set()
    assert is_gone(child.pid)


@pytest.mark.parametrize("steps", range(6))
async def test_an_owner_cancelled_while_starting_leaves_no_process(steps: int) -> None:
    async def own_a_child() -> None:
        async with open_child(MODULE):
            await asyncio.Event().wait()

    owner = asyncio.ensure_future(own_a_child())
    for _ in range(steps):
        await asyncio.sleep(0)
    owner.cancel()
    with pytest.raises(asyncio.CancelledError):
        await owner
    gc.collect()  # what was left behind would be a ResourceWarning, and warnings are errors here


def test_serving_answers_in_order_until_the_peer_is_gone(exits: threading.Event) -> None:
    ours, theirs = socket.socketpair()
    server = threading.Thread(target=serve, args=(theirs.detach(), {"double": lambda x: {"n": 2 * x["n"]}}))
    server.start()
    with ours:
        for n in range(2):
            send_frame(ours, {"id": n, "op": "double", "payload": {"n": n}})
        send_frame(ours, {"id": 2, "op": "double", "payload": {}})
        replies = [receive_frame(ours) for _ in range(3)]
    server.join()
    assert exits.wait(timeout=10)
    assert replies == [
        {"id": 0, "reply": {"n": 0}},
        {"id": 1, "reply": {"n": 2}},
        {"id": 2, "error": {"kind": "KeyError", "message": "'n'"}},
    ]


def test_a_child_lives_and_dies_under_uvloop_too() -> None:
    async def live_and_die() -> tuple[object, int | None]:
        async with open_child(MODULE) as child:
            reply = await child.call("echo", {"n": 1})
            with pytest.raises(ChildDied):
                await child.call("die", {"signal": signal.SIGKILL})
        return reply, child.exit_code

    assert uvloop.run(live_and_die()) == ({"n": 1}, -signal.SIGKILL)


async def test_a_payload_that_is_too_long_is_refused_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_child(MODULE) as child:
        monkeypatch.setattr("embedd.frames.MAX_FRAME_BYTES", 1000)
        with pytest.raises(FrameError, match="limit 1000"):
            await child.call("echo", {"pad": bytes(2000)})
        assert await child.call("echo", {}) == {}


async def appearance(path: Path) -> None:
    """Returns once ``path`` is there; the test's own timeout is the limit."""
    while not path.exists():  # noqa: ASYNC110, ASYNC240 - another process makes it
        await asyncio.sleep(0.005)


async def stopping(pid: int) -> None:
    """Returns once the process is stopped, all of its threads."""
    threads = Path(f"/proc/{pid}/task")
    while any(" T " not in (thread / "stat").read_text() for thread in threads.iterdir()):  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(0.005)


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


async def readable(fd: int) -> None:
    """Returns once ``fd`` is readable: for a pidfd, once the process has ended."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    loop.add_reader(fd, lambda: ended.done() or ended.set_result(None))
    with contextlib.ExitStack() as stack:
        stack.callback(loop.remove_reader, fd)
        await ended
