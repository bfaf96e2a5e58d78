"""Stopping a run from outside: Ctrl-C and SIGTERM ask for a stop at the next step boundary."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_RESTART = 42
"""State saved after SIGTERM: start the same command again."""
EXIT_INTERRUPTED = 130
"""State saved after Ctrl-C; or not saved, after a second signal."""


class StopRequest:
    """Whether someone asked the run to stop: the exit code that answers them, None before."""

    def __init__(self) -> None:
        self.exit_code: int | None = None


@contextmanager
def listening() -> Iterator[StopRequest]:
    """Turns the first SIGINT or SIGTERM into a request; a second one ends the process at once.

    Then open contexts are left by KeyboardInterrupt, and nothing that still writes is waited for.
    """
    request = StopRequest()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if request.exit_code is not None:
            raise KeyboardInterrupt
        request.exit_code = EXIT_INTERRUPTED if number == signal.SIGINT else EXIT_RESTART

    previous = {
        number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield request
    except KeyboardInterrupt:
        if request.exit_code is None:
            raise
        print("jgpt2: interrupted; the last complete checkpoint stands", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        # A plain exit would wait for the threads that write a checkpoint.
        os._exit(EXIT_INTERRUPTED)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
