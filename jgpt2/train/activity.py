"""What a run is doing, and for how long: the watchdog and the goodput both read it here.

Told by the loop's thread alone. Seconds belong to the innermost activity, so that they add up to
the life of the process; between activities a run takes steps.
"""

import collections
import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

Kind = Literal["init", "restore", "compile", "evaluation", "save", "data_wait", "step"]
STEPPING: tuple[Kind, ...] = ("step", "data_wait")
"""What a finished step is made of; all else may rightly take long."""
_STEPS_REMEMBERED = 100


class Activity:
    """The activities of one process of a run: `init` first, from `begin_steps` on `step`."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, age_s: float | None = None
    ) -> None:
        """`age_s` is how old the process is, spent in init; None asks the system."""
        self._clock = clock
        self._kinds: list[Kind] = ["init"]
        self._since_s = self._beat_s = clock()
        self._seconds: dict[Kind, float] = {"init": process_age_s() if age_s is None else age_s}
        self._stepping_s = 0.0
        self._step_times: collections.deque[float] = collections.deque(maxlen=_STEPS_REMEMBERED)
        self.last_step: int | None = None
        """The last step that was settled in this process."""

    @property
    def kind(self) -> Kind:
        """What is being done."""
        return self._kinds[-1]

    @contextlib.contextmanager
    def during(self, kind: Kind) -> Iterator[None]:
        """Attributes the time within to `kind`."""
        self._turn(is_beat=kind not in STEPPING)
        self._kinds.append(kind)
        try:
            yield
        finally:
            self._turn(is_beat=kind not in STEPPING)
            self._kinds.pop()

    def begin_steps(self) -> None:
        """Ends the start of the process: from here on what is nothing else is a step."""
        self._turn(is_beat=True)
        self._kinds[0] = "step"

    def step_done(self, step: int) -> None:
        """A step has come to its end on the device and is logged."""
        self._turn(is_beat=True)
        stepping_s = sum(self._seconds.get(kind, 0.0) for kind in STEPPING)
        self._step_times.append(stepping_s - self._stepping_s)
        self._stepping_s, self.last_step = stepping_s, step

    def beat(self) -> None:
        """A sign of life within a long activity."""
        self._beat_s = self._clock()

    def seconds(self) -> dict[Kind, float]:
        """Kind -> seconds so far, of what goes on too."""
        seconds = self._seconds.copy()
        seconds[self.kind] = seconds.get(self.kind, 0.0) + self._clock() - self._since_s
        return seconds

    def silent_s(self) -> float:
        """Seconds since the last step or beat, or since something long began or ended.

        Waiting for data is no sign of life: a run whose data never comes makes no step.
        """
        return self._clock() - self._beat_s

    def usual_step_s(self) -> float:
        """The median of the last steps, each with its wait for data; 0 before there are any."""
        return statistics.median(self._step_times.copy() or [0.0])

    def _turn(self, *, is_beat: bool) -> None:
        """Counts the seconds of what went on until here."""
        now_s = self._clock()
        self._seconds[self.kind] = self._seconds.get(self.kind, 0.0) + now_s - self._since_s
        self._since_s = now_s
        if is_beat:
            self._beat_s = now_s


def process_age_s() -> float:
    """Seconds since this process began; 0 where the system does not say (only Linux does)."""
    stat = Path("/proc/self/stat")
    if not stat.is_file():
        return 0.0
    # Fields after the command, which may hold anything and stands in brackets; the 22nd of all.
    ticks = int(stat.read_text("utf-8", errors="replace").rpartition(")")[2].split()[19])
    started_s = ticks / os.sysconf("SC_CLK_TCK")
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started_s)
