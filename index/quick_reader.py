"""Short statements, read by one thread of its own: what it finds waiting it answers in one go.

A search joins its few rows here. SQLite's own time for that is a fraction of what it costs to wake a thread
and to hand Python's lock to and fro, once for every row: eight searches that each went to a connection of
their own took more than twice the processor time that one thread takes. The busier it is the fewer wake-ups a
statement costs.

What may take long does not belong here, because everybody else would wait for it.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeAlias

from index.database import BUSY_TIMEOUT_S

Rows: TypeAlias = list[tuple[Any, ...]]

# Answered together at most, so that the first of them does not wait for long.
_MOST_AT_ONCE: Final = 16
# Rows of a vector and a text lie one or two to a page of 4 KiB: some thousand of those that are found again.
_CACHE: Final = "PRAGMA cache_size = -8192"


@dataclass(frozen=True, slots=True)
class _Question:
    sql: str
    parameters: Sequence[Any]
    answer: asyncio.Future[Rows]


class QuickReader:
    """Made without a thread or a connection: both come with the first statement. ``uri`` is the file's."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._questions: SimpleQueue[_Question | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def rows(self, sql: str, parameters: Sequence[Any]) -> Rows:
        """All the rows of one statement, which sees one committed state.

        Raises:
            sqlite3.Error: SQLite refused.
        """
        loop = asyncio.get_running_loop()
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, args=(loop,), name="index-quick-reader", daemon=True
            )
            self._thread.start()
        question = _Question(sql, parameters, loop.create_future())
        self._questions.put(question)
        return await question.answer

    async def close(self) -> None:
        """Answer what was asked, and let go of the file."""
        if self._thread is not None:
            self._questions.put(None)
            await asyncio.to_thread(self._thread.join)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        connection: sqlite3.Connection | None = None
        is_open = True
        while is_open:
            questions, is_open = self._waiting()
            answers: list[tuple[_Question, Rows | Exception]] = []
            for question in questions:
                try:
                    connection = connection or self._connect()
                    answers.append(
                        (question, connection.execute(question.sql, question.parameters).fetchall())
                    )
                except Exception as error:  # noqa: BLE001 - whoever asked gets it, and the thread goes on
                    answers.append((question, error))
            loop.call_soon_threadsafe(_settle, answers)
        if connection is not None:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        connection.execute(_CACHE)
        return connection

    def _waiting(self) -> tuple[list[_Question], bool]:
        """What waits, once there is something; and whether more may come."""
        questions: list[_Question] = []
        question = self._questions.get()
        try:
            while question is not None:
                questions.append(question)
                if len(questions) == _MOST_AT_ONCE:
                    return questions, True
                question = self._questions.get_nowait()
        except Empty:
            return questions, True
        return questions, False


def _settle(answers: Sequence[tuple[_Question, Rows | Exception]]) -> None:
    for question, answer in answers:
        if question.answer.done():
            continue  # whoever asked has left
        if isinstance(answer, Exception):
            question.answer.set_exception(answer)
        else:
            question.answer.set_result(answer)
