"""Goodput: which share of a run's life went into steps that count.

Every process life is a segment. Its rows in metrics.jsonl (`kind: goodput`) are cumulative, so the
last of a segment counts. They are written when its steps begin, at each save and at the end, and
are never cut: a start says in its own rows what it found done past the step that it restored.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jgpt2.train.activity import Activity

KIND = "goodput"


class Ledger:
    """The goodput of one process life."""

    def __init__(self, activity: Activity) -> None:
        self._activity = activity
        self._segment: int | None = None
        self._lost_steps = 0
        self._lost_s = self._down_s = 0.0
        self._counted = {"step": 0.0, "data_wait": 0.0}

    def begin(
        self,
        kept: Sequence[Mapping[str, Any]],
        cut: Sequence[Mapping[str, Any]],
        *,
        down_s: float,
    ) -> None:
        """Counts what going back to a step loses: the rows `cut` off from those `kept`.

        `down_s` is from the last sign of life of the process before to the start of this one.
        """
        told = segments(kept)
        if self._segment is None:
            self._segment = len(told)
            self._down_s = down_s
            counted_upto = max((row["step"] for row in told[-1:]), default=0)
        else:
            counted_upto = max((row["step"] for row in cut), default=0)  # by this very process
        steps = [row for row in cut if row["kind"] == "train"]
        self._lost_steps += len(steps)
        self._lost_s += sum(row["step_time_s"] for row in steps)
        for row in steps:
            if row["step"] <= counted_upto:
                self._counted["step"] += row["step_time_s"] - row["data_wait_s"]
                self._counted["data_wait"] += row["data_wait_s"]

    def row(self, step: int) -> dict[str, Any]:
        """The segment so far, at a step."""
        seconds = {kind: round(s, 3) for kind, s in self._activity.seconds().items()}
        return {
            "step": step,
            "segment": self._segment,
            "ended": round(time.time(), 3),
            "seconds": seconds,
            "lost_steps": self._lost_steps,
            "lost_s": round(self._lost_s, 3),
            "counted_s": {kind: round(s, 3) for kind, s in self._counted.items()},
            "down_s": round(self._down_s, 3),
        }


@dataclass(frozen=True)
class Total:
    """Where the time of a run went, over all its segments."""

    seconds: dict[str, float]
    """Kind -> seconds, with `lost` (steps done again) and `down` (no process ran)."""
    num_segments: int
    lost_steps: int

    @property
    def goodput(self) -> float:
        """The share of all time that went into steps that count."""
        total = sum(self.seconds.values())
        return self.seconds.get("step", 0.0) / total if total else 0.0

    def record(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "goodput": round(self.goodput, 4),
            "seconds": {kind: round(seconds, 3) for kind, seconds in self.seconds.items()},
            "num_segments": self.num_segments,
            "lost_steps": self.lost_steps,
        }


def segments(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The last row of each segment, in order."""
    last = {row["segment"]: dict(row) for row in rows if row["kind"] == KIND}
    return [last[segment] for segment in sorted(last)]


def total(rows: Iterable[Mapping[str, Any]]) -> Total:
    """The sums over all segments; steps that were done again count as lost, not as steps."""
    told = segments(rows)
    seconds: dict[str, float] = {"step": 0.0, "data_wait": 0.0}
    for segment in told:
        for kind, value in segment["seconds"].items():
            seconds[kind] = seconds.get(kind, 0.0) + value
        for kind, value in segment["counted_s"].items():
            seconds[kind] -= value
    seconds["lost"] = sum(segment["lost_s"] for segment in told)
    seconds["down"] = sum(segment["down_s"] for segment in told)
    return Total(seconds, len(told), sum(segment["lost_steps"] for segment in told))
