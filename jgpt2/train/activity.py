"""What a run is doing, and how many seconds went to what: for the watchdog and the goodput.

One object, told by the loop's thread alone; the watchdog reads it from its own. Seconds belong to
the innermost activity, so that they add up to the life of the process.
"""

import collections
import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, get_args

Kind = Literal["init", "restore", "compile", "step", "data_wait", "evaluation", "save"]
KINDS: tuple[Kind, ...] = get_args(Kind)
STEPPING: tuple[Kind, ...] = ("step", "data_wait")
"""What a finished step is made of; all else may rightly take long."""
_RECENT_STEPS = 100


class Activity:
    """What goes on: `init` until `start_steps`, then `step`, and within `during` what that says."""

    def __init__(
        self, *, age_s: float = 0.0, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        """`age_s` is for how long `init` has gone on; `process_age_s()` for a whole process."""
        self._clock_s = clock_s
        self._since_s = self._alive_s = clock_s() - age_s
        self._seconds = dict.fromkeys(KINDS, 0.0)
        self._stack: list[Kind] = ["init"]
        self._stepping_s = 0.0
        self._recent_s: collections.deque[float] = collections.deque(maxlen=_RECENT_STEPS)
        self._step: int | None = None

    @property
    def kind(self) -> Kind:
        """The innermost activity."""
        return self._stack[-1]

    @property
    def step(self) -> int | None:
        """The last finished step, or the one that the run started from; None before that."""
        return self._step

    @property
    def seconds(self) -> dict[Kind, float]:
        """Kind -> seconds so far, of the activity that goes on too."""
        return self._seconds | {self.kind: self._seconds[self.kind] + self._elapsed_s()}

    @property
    def quiet_s(self) -> float:
        """Seconds since the last sign of life: a finished step, a beat, or long work begun or over.

        Waiting for data is none: a run whose data never comes makes no step.
        """
        return self._clock_s() - self._alive_s

    @property
    def median_step_s(self) -> float | None:
        """Median of the last hundred steps, each with its wait for data; None before the first."""
        return statistics.median(self._recent_s.copy()) if self._recent_s else None

    @contextlib.contextmanager
    def during(self, kind: Kind) -> Iterator[None]:
        """Counts what happens within as `kind`."""
        self._turn(kind)
        self._stack.append(kind)
        try:
            yield
        finally:
            self._turn(kind)
            self._stack.pop()

    def start_steps(self, step: int) -> None:
        """Ends `init`: from here on, and from `step` on, the run steps."""
        self._turn("init")
        self._stack[0] = "step"
        self._step = step

    def step_done(self, step: int) -> None:
        """Tells that a step is finished and its numbers are known."""
        self._turn("step")
        self._alive_s = self._since_s
        stepping_s = sum(self._seconds[kind] for kind in STEPPING)
        self._recent_s.append(stepping_s - self._stepping_s)
        self._stepping_s, self._step = stepping_s, step

    def beat(self) -> None:
        """Tells that long work goes on: a batch of an evaluation is scored."""
        self._alive_s = self._clock_s()

    def _turn(self, kind: Kind) -> None:
        """Counts the seconds of what went on until here; to turn to or from long work is a beat."""
        elapsed_s = self._elapsed_s()
        self._seconds[self.kind] += elapsed_s
        self._since_s += elapsed_s
        if kind not in STEPPING:
            self._alive_s = self._since_s

    def _elapsed_s(self) -> float:
        return self._clock_s() - self._since_s


def process_age_s() -> float:
    """Seconds since this process began; 0 where the system does not tell (only Linux does)."""
    stat = Path("/proc/self/stat")
    if not stat.is_file():
        return 0.0
    # Fields after the command, which may hold anything and stands in brackets; the 22nd of all.
    ticks = int(stat.read_text("utf-8", errors="replace").rpartition(")")[2].split()[19])
    started_s = ticks / os.sysconf("SC_CLK_TCK")
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started_s)
