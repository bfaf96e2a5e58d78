"""What a run is doing, and for how long: the watchdog and the goodput both read it here.

Time is attributed to the innermost activity. Between activities a run takes steps.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

Kind = Literal["init", "restore", "compile", "evaluation", "save", "data_wait", "step"]
_STEPS_REMEMBERED = 100


class Activity:
    """The activities of one process of a run, from the start of the process on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, age_s: float | None = None):
        """`age_s` is how old the process is, spent in init; None asks the system."""
        self._clock = clock
        self._kinds: list[Kind] = ["init"]
        self._began_s = clock()
        self._beat_s = self._began_s
        self._seconds: dict[Kind, float] = {"init": _age_s() if age_s is None else age_s}
        self._step_times: deque[float] = deque(maxlen=_STEPS_REMEMBERED)
        self._settled_s: float | None = None
        self._lock = threading.Lock()
        self.last_step: int | None = None
        """The last step that was settled in this process."""

    @property
    def kind(self) -> Kind:
        """What is being done."""
        return self._kinds[-1]

    @contextmanager
    def during(self, kind: Kind) -> Iterator[None]:
        """Attributes the time within to `kind`."""
        self._change(lambda: self._kinds.append(kind))
        try:
            yield
        finally:
            self._change(self._kinds.pop)

    def begin_steps(self) -> None:
        """Ends the start of the process: from here on what is nothing else is a step."""
        self._change(lambda: self._kinds.__setitem__(0, "step"))

    def step_done(self, step: int) -> None:
        """A step has come to its end on the device and is logged."""
        with self._lock:
            now_s = self._clock()
            if self._settled_s is not None:
                self._step_times.append(now_s - self._settled_s)
            self._settled_s, self._beat_s, self.last_step = now_s, now_s, step

    def beat(self) -> None:
        """A sign of life within a long activity."""
        self._beat_s = self._clock()

    def seconds(self) -> dict[Kind, float]:
        """Kind -> seconds so far."""
        with self._lock:
            told = dict(self._seconds)
            told[self.kind] = told.get(self.kind, 0.0) + self._clock() - self._began_s
            return told

    def silent_s(self) -> float:
        """Seconds since the last step, beat or change of activity."""
        return self._clock() - self._beat_s

    def usual_step_s(self) -> float:
        """The median of the last steps; 0 before there are any."""
        with self._lock:
            times = sorted(self._step_times)
        return times[len(times) // 2] if times else 0.0

    def _change(self, change: Callable[[], object]) -> None:
        with self._lock:
            now_s = self._clock()
            self._seconds[self.kind] = self._seconds.get(self.kind, 0.0) + now_s - self._began_s
            self._began_s = now_s
            if self.kind != "data_wait":  # part of a step: the wait for data must not hide a stall
                self._beat_s = now_s
                self._settled_s = None
            change()


def _age_s() -> float:
    """How long this process has lived; 0 where the system does not say."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
        up_s = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0
    return max(up_s - ticks / os.sysconf("SC_CLK_TCK"), 0.0)
