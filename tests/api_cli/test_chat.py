"""``embedd chat`` from the outside: one question, a pipe, and a conversation on a terminal."""

import os
import pty
import signal
import subprocess
import sys
from typing import Self

from cli_stub import Embedd, Stub, chunk, source


def test_an_answer_is_printed_with_the_places_it_rests_on(embedd: Embedd, stub: Stub) -> None:
    stub.answer(
        "Nothing is ",
        "lost [1].",
        sources=[source(1, "Nothing\nis lost.", page=4), source(2, "Sure.", title="ops.md")],
    )
    shown = embedd("chat", "Is data lost?")
    assert shown.exit_code == 0
    assert shown.stdout.splitlines() == [
        "Nothing is lost [1].",
        "",
        "Sources",
        " [1] Operations (ops.md, page 4)",
        "     “Nothing is lost.”",
        " [2] ops.md",
        "     “Sure.”",
    ]


def test_the_candidates_of_the_first_chunk_are_not_taken_for_sources(embedd: Embedd, stub: Stub) -> None:
    stub.answer("I found nothing.", sources=[])
    stub.chunks.insert(0, chunk(None, [source(1, "a candidate")]))
    assert embedd("chat", "q").stdout == "I found nothing.\n"


def test_the_question_goes_out_as_the_contract_says(embedd: Embedd, stub: Stub) -> None:
    stub.answer("x", sources=[])
    embedd("chat", "Why?", "--collection", "mine", "--generator", "fake")
    assert stub.bodies == [
        {
            "messages": [{"role": "user", "content": "Why?"}],
            "stream": True,
            "retrieval": {"collection": "mine"},
            "model": "fake",
        }
    ]


def test_a_kept_conversation_is_sent_the_question_alone(embedd: Embedd, stub: Stub) -> None:
    stub.answer("x", sources=[])
    embedd("chat", "Why?", "--conversation", "0199")
    embedd("chat", "Why?", "--conversation", "0199", "--collection", "mine")
    asked = {"messages": [{"role": "user", "content": "Why?"}], "stream": True, "conversation": "0199"}
    assert stub.bodies == [asked, asked | {"retrieval": {"collection": "mine"}}]


def test_a_new_conversation_is_begun_with_the_collection_and_told(embedd: Embedd, stub: Stub) -> None:
    stub.answer("x", sources=[])
    shown = embedd("chat", "Why?", "--conversation", "new", "--collection", "mine")
    assert shown.stderr == "conversation 0199-new\n"
    assert stub.bodies[0] == {"retrieval": {"collection": "mine"}}
    assert stub.bodies[1]["conversation"] == "0199-new"


def test_the_question_may_come_from_a_pipe(embedd: Embedd, stub: Stub) -> None:
    stub.answer("x", sources=[])
    embedd("chat", stdin="Why?\n")
    assert stub.bodies[0]["messages"] == [{"role": "user", "content": "Why?"}]


def test_no_question_is_wrong_usage(embedd: Embedd, stub: Stub) -> None:
    assert embedd("chat", stdin=" \n").exit_code == 2
    assert stub.requests == []


def test_a_refusal_is_one_line(embedd: Embedd) -> None:
    shown = embedd("chat", "q")
    assert (shown.exit_code, shown.stderr) == (1, "Error: there is nothing to answer from\n")


def test_an_error_in_the_middle_of_an_answer_is_told(embedd: Embedd, stub: Stub) -> None:
    error = '{"error": {"message": "the worker died", "type": "t", "param": null, "code": "c"}}'
    stub.chunks = [chunk("Half an "), error]
    shown = embedd("chat", "q")
    assert shown.exit_code == 1
    assert shown.stdout.startswith("Half an ")
    assert shown.stderr.endswith("Error: the answer broke off: the worker died\n")


def test_an_answer_without_its_end_is_told(embedd: Embedd, stub: Stub) -> None:
    stub.chunks = [chunk("Half an ")]
    shown = embedd("chat", "q")
    assert shown.exit_code == 1
    assert "ended the answer in the middle" in shown.stderr


def test_an_answer_cannot_steer_the_terminal(embedd: Embedd, stub: Stub) -> None:
    stub.answer("bad \x1b[2J", sources=[source(1, "worse \x1b[2J")])
    assert "\x1b" not in embedd("chat", "q").stdout


def test_a_conversation_goes_on_until_the_end_of_input(stub: Stub) -> None:
    stub.answer("An answer.", sources=[])
    with Terminal("chat", "--url", stub.url) as terminal:
        terminal.type("first\n")
        terminal.read_until("An answer.")
        terminal.read_until("> ")
        terminal.type("\nsecond\n")
        terminal.read_until("An answer.")
        terminal.read_until("> ")
        terminal.type("\x04")
        assert terminal.exit_code() == 0
    assert [message["content"] for message in stub.bodies[1]["messages"]] == ["first", "An answer.", "second"]


def test_an_answer_that_failed_does_not_end_the_conversation(stub: Stub) -> None:
    with Terminal("chat", "--url", stub.url) as terminal:
        terminal.type("first\n")
        terminal.read_until("Error: there is nothing to answer from")
        stub.answer("An answer.", sources=[])
        terminal.read_until("> ")
        terminal.type("second\n")
        terminal.read_until("An answer.")
        terminal.read_until("> ")
        terminal.type("\x04")
        assert terminal.exit_code() == 0
    assert stub.bodies[1]["messages"] == [{"role": "user", "content": "second"}]


def test_ctrl_c_stops_an_answer_and_asks_again(stub: Stub) -> None:
    stub.chunks, stub.endless = [chunk("An answer that")], True
    with Terminal("chat", "--url", stub.url) as terminal:
        terminal.type("first\n")
        terminal.read_until("An answer that")
        terminal.interrupt()
        terminal.read_until("> ")
        terminal.type("\x04")
        assert terminal.exit_code() == 0


def _hear_interrupts() -> None:
    """What was started in the background ignores them, and so would what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """``embedd`` in a real terminal; ended by its id if a test leaves it running."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "api", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_hear_interrupts,  # noqa: PLW1509 - it does nothing else
            env=os.environ | {"TERM": "dumb"},
        )
        os.close(theirs)
        self._unread = b""

    def __enter__(self) -> Self:
        self.read_until("> ")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._ours)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def read_until(self, text: str) -> None:
        while text.encode() not in self._unread:
            self._unread += os.read(self._ours, 4096)
        self._unread = self._unread.split(text.encode(), 1)[1]

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def exit_code(self) -> int:
        return self._process.wait(20)
