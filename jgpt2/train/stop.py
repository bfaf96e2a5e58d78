"""Stopping a run from outside: a signal on any process stops all of them at the same poll.

Every loop of a run polls, all processes as often as each other. The first SIGTERM or Ctrl-C becomes
news for all; each then says how often it has polled, and all stop at the first poll that none has
made yet. Signals are heard by a thread, so one also counts while the main thread waits for a
device; a second one ends its process at once.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from jgpt2 import processes
from jgpt2.errors import StoppedError
from jgpt2.failure import EXIT_INTERRUPTED, EXIT_RESTART, EXIT_TERMINATED

_EXIT_CODES = {signal.SIGINT: EXIT_INTERRUPTED, signal.SIGTERM: EXIT_RESTART}


class StopRequest:
    """Whether someone asked the run to stop, the same answer on every process."""

    def __init__(self, group: processes.Group | None = None) -> None:
        self._group = group or processes.Group()
        self._lock = threading.Lock()
        self._polls = 0
        self._stop_at: int | None = None
        self._exit_code: int | None = None
        self._group.on_news(self._heed)

    def ask(self, exit_code: int) -> None:
        """Asks all processes to stop; the first request counts."""
        self._group.tell({"kind": "stop", "exit_code": exit_code})

    def poll(self) -> int | None:
        """The exit code with which to save and stop here; None to go on.

        While the processes agree on where to stop, it waits for them.
        """
        with self._lock:
            self._polls += 1
            is_reached = self._stop_at is not None and self._polls >= self._stop_at
            return self._exit_code if is_reached else None

    def _heed(self, news: dict[str, Any]) -> None:
        if news["kind"] != "stop" or self._stop_at is not None:
            return
        with self._lock:
            # No process polls meanwhile, so none passes the poll after the furthest one's.
            self._stop_at = max(self._group.exchange("stop", self._polls)) + 1
            self._exit_code = news["exit_code"]


@contextmanager
def listening(group: processes.Group | None = None) -> Iterator[StopRequest]:
    """Turns the first SIGINT or SIGTERM into a request; a second one ends the process at once.

    Then nothing that still writes is waited for.
    """
    request = StopRequest(group)
    heard, told = os.pipe()
    os.set_blocking(told, False)
    previous_fd = signal.set_wakeup_fd(told)
    previous = {number: signal.signal(number, _told_by_the_pipe) for number in _EXIT_CODES}
    listener = threading.Thread(target=_listen, args=(heard, request), name="signals", daemon=True)
    listener.start()
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(previous_fd)
        os.close(told)
        listener.join()
        os.close(heard)


@contextmanager
def giving_up() -> Iterator[None]:
    """Turns SIGTERM into a StoppedError, for work of which there is nothing to save yet."""
    previous = signal.signal(signal.SIGTERM, _give_up)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _give_up(number: int, frame: FrameType | None) -> NoReturn:
    raise StoppedError(EXIT_RESTART)


def _told_by_the_pipe(number: int, frame: FrameType | None) -> None:
    """Python writes the number of a signal to the pipe only while it has a handler."""


def _listen(heard: int, request: StopRequest) -> None:
    is_asked = False
    while numbers := os.read(heard, 64):
        for number in numbers:
            if number not in _EXIT_CODES:
                continue
            if is_asked:
                _leave(number)
            is_asked = True
            request.ask(_EXIT_CODES[signal.Signals(number)])


def _leave(number: int) -> NoReturn:
    print("jgpt2: interrupted; the last complete checkpoint stands", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    # A plain exit would wait for the threads that write a checkpoint.
    os._exit(EXIT_INTERRUPTED if number == signal.SIGINT else EXIT_TERMINATED)
