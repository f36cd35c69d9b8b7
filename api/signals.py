"""What signals ask of a running service.

SIGTERM and SIGINT end it; a second one leaves at once, which loses nothing that was acknowledged. SIGHUP has
the settings read again, as of other servers, or means that the terminal is gone in which the service runs.
"""

import asyncio
import os
import signal
import sys


class Signals:
    """``stop`` is set when the service should end, ``reload`` when it should read its settings again."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.reload = asyncio.Event()
        self._had_terminal = _has_terminal()

    def listen(self) -> None:
        """Hear signals from now on, in the loop that runs."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    def _end(self) -> None:
        if self.stop.is_set():
            os._exit(1)
        self.stop.set()

    def _hang_up(self) -> None:
        if self._had_terminal and not _has_terminal():
            self.stop.set()
        else:
            self.reload.set()


def _has_terminal() -> bool:
    return sys.stdin is not None and not sys.stdin.closed and os.isatty(sys.stdin.fileno())
