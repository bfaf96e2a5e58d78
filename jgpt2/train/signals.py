"""Stopping a run from outside: Ctrl-C and SIGTERM ask for a stop at the next step boundary."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_RESTART = 42
"""State saved after SIGTERM: start the same command again."""
EXIT_INTERRUPTED = 130
"""State saved after Ctrl-C."""


class StopRequest:
    """Whether someone asked the run to stop, and the exit code that answers them."""

    def __init__(self) -> None:
        self.exit_code: int | None = None

    def is_set(self) -> bool:
        """Whether a signal arrived."""
        return self.exit_code is not None


@contextmanager
def listening() -> Iterator[StopRequest]:
    """Turns the first SIGINT or SIGTERM into a request; a second one interrupts at once."""
    request = StopRequest()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if request.is_set():
            raise KeyboardInterrupt
        request.exit_code = EXIT_INTERRUPTED if number == signal.SIGINT else EXIT_RESTART

    previous = {
        number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
