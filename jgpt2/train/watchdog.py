"""The watchdog: ends a process that lives but no longer gets on.

Heartbeats between hosts come from threads of their own, so a host that waits forever goes on
sending them, and all others wait with it. Only the lack of finished steps tells.
"""

import faulthandler
import os
import socket
import sys
import threading
import time
from types import TracebackType
from typing import Self

from jgpt2.failure import EXIT_ABORTED
from jgpt2.train.activity import Activity

_STEPS = 10
"""How many usual steps one step may take."""
_NAP = 5
"""A look that comes so many times later than it should was not held up by a busy machine."""
_STDERR = 2
_LOOK_S = 1.0
"""How often the watchdog looks; more often under short limits."""


class Watchdog:
    """Watches an activity while its context is open; exit code 134 when it stands still."""

    def __init__(
        self, activity: Activity, *, floor_s: float, allowance_s: float, describe: str
    ) -> None:
        """A step may take `floor_s`, or ten usual ones; any other activity `allowance_s`."""
        self._activity = activity
        self._floor_s, self._allowance_s = floor_s, allowance_s
        self._describe = describe
        self._look_s = min(_LOOK_S, floor_s / 4, allowance_s / 4)
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def limit_s(self) -> float:
        """How long the present activity may be silent."""
        if self._activity.kind in ("step", "data_wait"):
            return max(_STEPS * self._activity.usual_step_s(), self._floor_s)
        return self._allowance_s

    def _watch(self) -> None:
        looked_s = time.monotonic()
        while not self._is_closed.wait(self._look_s):
            slept_s, looked_s = time.monotonic() - looked_s, time.monotonic()
            if slept_s > _NAP * self._look_s:
                self._activity.beat()  # the whole process was stopped, by Ctrl-Z or a debugger
            # Should a thread hold the interpreter, so that this one never runs again: C ends it.
            self._arm(2 * self.limit_s())
            silent_s, limit_s = self._activity.silent_s(), self.limit_s()
            if silent_s > limit_s and not self._is_closed.is_set():
                self._end(silent_s, limit_s)

    def _arm(self, timeout_s: float) -> None:
        faulthandler.dump_traceback_later(timeout_s, exit=True, file=_STDERR)

    def _end(self, silent_s: float, limit_s: float) -> None:
        print(
            f"jgpt2: {self._describe} on {socket.gethostname()} stands still: "
            f"{self._activity.kind} after step {self._activity.last_step} for {silent_s:.0f} s, "
            f"with a limit of {limit_s:.0f} s. All stacks follow; it ends with {EXIT_ABORTED}, "
            "and the same command goes on from the last checkpoint.",
            file=sys.stderr,
            flush=True,
        )
        faulthandler.dump_traceback(file=_STDERR, all_threads=True)
        os._exit(EXIT_ABORTED)

    def __enter__(self) -> Self:
        """Begins to watch."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ends watching."""
        self._is_closed.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()
