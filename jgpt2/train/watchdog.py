"""The watchdog for a host that is alive but stuck, which no heartbeat betrays.

No finished step for too long: host, step and activity are said, all stacks are written, and the
process ends with 134. A Python thread watches. Should it not get to run, because the main thread
is stuck in C and holds the interpreter's lock, a timer of the system ends the process the same way.
"""

import ctypes
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from jgpt2.train import activity as activities

EXIT_ABORTED = 134
"""As of a process that `abort` ended; launchers start it again."""
MEDIANS = 10
"""Median steps without a finished one that are too many."""
_POLL_S = 1.0
_LAST_WORDS_S = 10.0
"""Seconds for the message and the stacks: nobody may read what they are written to."""
_STDERR = 2
"""Written to by number: the main thread may be stuck while it holds the lock of `sys.stderr`."""


class Watchdog:
    """Ends the process when its run is stuck; use as a context manager, around the whole run."""

    def __init__(
        self,
        activity: activities.Activity,
        *,
        floor_s: float,
        allowance_s: float,
        describe: Callable[[], str],
    ) -> None:
        """A step may take `floor_s` or ten medians; all else, and the first step, `allowance_s`.

        `describe` names the process and its host; it is called once, before anything can be stuck.
        """
        self._activity = activity
        self._floor_s, self._allowance_s, self._describe = floor_s, allowance_s, describe
        self._poll_s = min(_POLL_S, floor_s / 4, allowance_s / 4)
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._host = ""
        self._had_faulthandler = False
        self._previous: int | None = None

    @property
    def limit_s(self) -> float:
        """Seconds without a sign of life that are allowed to what goes on."""
        median_s = self._activity.median_step_s
        if median_s is None or self._activity.kind not in activities.STEPPING:
            return self._allowance_s
        return max(MEDIANS * median_s, self._floor_s)

    def __enter__(self) -> Self:
        """Starts to watch."""
        self._host = self._describe()
        self._had_faulthandler = faulthandler.is_enabled()
        if not self._had_faulthandler:
            faulthandler.enable(_STDERR)  # what writes the stacks when `abort` is called
        self._previous = _on_alarm(ctypes.cast(ctypes.CDLL(None).abort, ctypes.c_void_p).value)
        self._arm()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ends the watch: nothing is ended from here on."""
        with self._lock:
            self._is_over.set()
            signal.setitimer(signal.ITIMER_REAL, 0)
        _on_alarm(self._previous)
        if not self._had_faulthandler:
            faulthandler.disable()

    def _watch(self) -> None:
        while not self._is_over.wait(self._poll_s):
            with self._lock:
                if self._is_over.is_set():
                    return
                if self._activity.quiet_s > self.limit_s:
                    self._end()
                self._arm()

    def _arm(self) -> None:
        """Sets the timer of the system to a little after this thread would have acted."""
        left_s = max(0.0, self.limit_s - self._activity.quiet_s)
        signal.setitimer(signal.ITIMER_REAL, left_s + 4 * self._poll_s)

    def _end(self) -> None:
        quiet_s, step = self._activity.quiet_s, self._activity.step
        faulthandler.disable()  # the timer then ends the process without a word, if need be
        signal.setitimer(signal.ITIMER_REAL, _LAST_WORDS_S)
        at = "before the first step" if step is None else f"after step {step}"
        said = (
            f"jgpt2: {self._host} is stuck {at} in {self._activity.kind}: no sign of life for "
            f"{quiet_s:.1f} s, {self.limit_s:.1f} s are allowed. The stacks of all threads follow, "
            f"then the process ends with {EXIT_ABORTED}; the last complete checkpoint stands, and "
            "the same command goes on from it.\n"
        )
        os.write(_STDERR, said.encode())
        faulthandler.dump_traceback(_STDERR, all_threads=True)
        sys.stdout.flush()
        os._exit(EXIT_ABORTED)


def _on_alarm(handler: int | None) -> int | None:
    """Makes C's function at an address the handler of SIGALRM; gives the one before.

    One in Python would wait for the interpreter's lock.
    """
    install = ctypes.CDLL(None).signal
    install.restype, install.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p)
    return install(signal.SIGALRM, handler)
