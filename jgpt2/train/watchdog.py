"""The watchdog: ends a process that lives but no longer gets on.

Heartbeats between hosts come from threads of their own, so a host that waits forever goes on
sending them, and all others wait with it. Only the lack of finished steps tells. A Python thread
watches; should it not get to run, because the main thread is stuck in C and holds the interpreter's
lock, a timer of the system ends the process.
"""

import ctypes
import faulthandler
import os
import signal
import socket
import sys
import threading
import time
from types import TracebackType
from typing import Self

from jgpt2.failure import EXIT_ABORTED
from jgpt2.train import activity as activities

_STEPS = 10
"""How many usual steps one step may take."""
_NAP = 5
"""A look that comes so many times later than it should was not held up by a busy machine."""
_STDERR = 2
"""Written to by number: the main thread may be stuck while it holds the lock of `sys.stderr`."""
_LOOK_S = 1.0
"""How often the watchdog looks; more often under short limits."""
_LAST_WORDS_S = 10.0
"""How long the message and the stacks may take: nobody may read what they are written to."""


class Watchdog:
    """Watches an activity while its context is open; exit code 134 when it stands still."""

    def __init__(
        self, activity: activities.Activity, *, floor_s: float, allowance_s: float, describe: str
    ) -> None:
        """A step may take `floor_s`, or ten usual ones; the first, and all else, `allowance_s`."""
        self._activity = activity
        self._floor_s, self._allowance_s = floor_s, allowance_s
        self._host = f"{describe} on {socket.gethostname()}"
        self._look_s = min(_LOOK_S, floor_s / 4, allowance_s / 4)
        self._is_closed = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._had_faulthandler = False
        self._on_alarm: int | None = None

    def limit_s(self) -> float:
        """How long the present activity may be silent."""
        usual_s = self._activity.usual_step_s()
        if self._activity.kind in activities.STEPPING and usual_s:
            return max(_STEPS * usual_s, self._floor_s)
        return self._allowance_s  # the first steps connect hosts, and load what was compiled

    def _watch(self) -> None:
        looked_s = time.monotonic()
        while not self._is_closed.wait(self._look_s):
            slept_s, looked_s = time.monotonic() - looked_s, time.monotonic()
            if slept_s > _NAP * self._look_s:
                self._activity.beat()  # the whole process was stopped, by Ctrl-Z or a debugger
            with self._lock:
                if self._is_closed.is_set():
                    return
                silent_s, limit_s = self._activity.silent_s(), self.limit_s()
                if silent_s > limit_s:
                    self._end(silent_s, limit_s)
                self._arm(2 * limit_s)

    def _arm(self, timeout_s: float) -> None:
        """Sets the timer that acts when this thread never gets to set it again."""
        signal.setitimer(signal.ITIMER_REAL, timeout_s)

    def _end(self, silent_s: float, limit_s: float) -> None:
        faulthandler.disable()  # should these words not come through, `abort` has none
        self._arm(_LAST_WORDS_S)
        said = (
            f"jgpt2: {self._host} stands still: {self._activity.kind} after step "
            f"{self._activity.last_step} for {silent_s:.1f} s, with a limit of {limit_s:.1f} s. "
            f"All stacks follow; it ends with {EXIT_ABORTED}, and the same command goes on from "
            "the last checkpoint.\n"
        )
        os.write(_STDERR, said.encode())
        faulthandler.dump_traceback(_STDERR, all_threads=True)
        sys.stdout.flush()
        os._exit(EXIT_ABORTED)

    def __enter__(self) -> Self:
        """Begins to watch."""
        self._had_faulthandler = faulthandler.is_enabled()
        if not self._had_faulthandler:
            faulthandler.enable(_STDERR)  # what writes the stacks when `abort` is called
        self._on_alarm = _handle_alarm(ctypes.cast(_c().abort, ctypes.c_void_p).value)
        self._arm(2 * self.limit_s())
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ends watching: nothing is ended from here on."""
        with self._lock:
            self._is_closed.set()
            self._arm(0)
        _handle_alarm(self._on_alarm)
        if not self._had_faulthandler:
            faulthandler.disable()


def _handle_alarm(handler: int | None) -> int | None:
    """Makes the function of C at this address the handler of SIGALRM; gives the one before.

    A handler in Python would wait for the interpreter's lock.
    """
    install = _c().signal
    install.restype, install.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p)
    return install(signal.SIGALRM, handler)


def _c() -> ctypes.CDLL:
    return ctypes.CDLL(None)
