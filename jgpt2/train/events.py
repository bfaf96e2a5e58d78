"""`events.jsonl`: what happened to a run beside its steps, appended and never cut.

Starts and stops, steps that were set aside, and what the loss policy did. The batches that a rewind
leaves out are read back from here, so the training order of a run follows from its folder.
"""

import datetime
import json
from pathlib import Path
from typing import Any

from jgpt2 import manifest, runs, storage
from jgpt2.processes import Group

REWIND = "rewind"
SKIP = "skip"


class Events:
    """The events of one run, the same on every process; process 0 writes them."""

    def __init__(self, run: Path, group: Group) -> None:
        self._path, self._is_writer = run / runs.EVENTS, group.is_first
        self.rows = group.from_first("events", runs.events(run) if group.is_first else None)
        if self._is_writer and self._path.is_file():
            manifest.write_text(self._path, "".join(map(_line, self.rows)))  # a kill tears the last

    def add(self, event: str, **facts: Any) -> None:
        """Appends one event with the time of day; written when this returns."""
        time = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        row: dict[str, Any] = {"time": time, "event": event, **facts}
        row["digest"] = runs.event_digest(row)
        self.rows.append(row)
        if self._is_writer:
            storage.append(self._path, _line(row))

    @property
    def batches_left_out(self) -> list[int]:
        """Batches of the training order that rewinds left out, in ascending order."""
        return sorted(b for row in self.rows if row["event"] == REWIND for b in row["batches"])

    @property
    def num_wrong(self) -> int:
        """How often the loss policy has acted."""
        return sum(row["event"] in (REWIND, SKIP) for row in self.rows)


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
