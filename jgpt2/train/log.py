"""What a run says while it goes on: metrics.jsonl (the truth), TensorBoard, and the console.

`metrics.jsonl` has one line a step (`kind: train`) and one an evaluation (`kind: evaluation`).
On resume, lines past the restored step are cut, so that the file reads as if never interrupted.
"""

import functools
import json
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich import console as rich_console
from rich import progress as rich_progress

from jgpt2 import progress, runs, storage
from jgpt2.errors import DamageError
from jgpt2.train import goodput, lines

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter


_EVENTS = "tensorboard"


class RunLog:
    """The open logs of one run; use as a context manager. Only the writer among processes logs."""

    def __init__(
        self, folder: Path, *, name: str, first_step: int, last_step: int, is_writer: bool = True
    ) -> None:
        self._is_writer = is_writer
        self.num_bytes = 0
        self.losses: list[tuple[int, float]] = []
        self.is_evaluated = False
        self.kept: list[dict[str, Any]] = []
        self.cut: list[dict[str, Any]] = []
        self.silent_s = 0.0
        """Seconds since the last row was written."""
        if not is_writer:
            return
        path = folder / runs.METRICS
        written_s = storage.modified_s(path)
        self.silent_s = 0.0 if written_s is None else time.time() - written_s
        rows, self.cut = _cut(runs.metrics(folder), first_step)
        self.kept = rows
        trained = [row for row in rows if row["kind"] == "train"]
        if first_step and (not trained or trained[-1]["step"] != first_step):
            raise DamageError(
                f"{folder / runs.METRICS} ends before step {first_step}, the step of the newest "
                "checkpoint; restore the file, or train into another --run folder."
            )
        self.num_bytes = trained[-1]["bytes"] if trained else 0
        self.losses = [(row["step"], row["loss"]) for row in trained if not row.get("is_skipped")]
        self.is_evaluated = any(
            row["kind"] == "evaluation" and row["step"] == first_step for row in rows
        )
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        self._file = lines.Lines(path, text)
        self._events_folder, self._first_step = folder / _EVENTS, first_step
        self._console = Console(name=name, first_step=first_step, last_step=last_step)

    @functools.cached_property
    def _events(self) -> "SummaryWriter":
        from tensorboardX import SummaryWriter

        folder = self._events_folder
        if storage.is_remote(folder):  # then it writes here, and `close` copies
            folder = Path(self._waiting.name)
        return SummaryWriter(str(folder), purge_step=self._first_step + 1)

    @functools.cached_property
    def _waiting(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="jgpt2-")

    def train(self, row: dict[str, Any]) -> None:
        """Records one step."""
        if self._is_writer:
            row = {"kind": "train"} | row
            self._write(row)
            self._console.train(row)
            self._draw(row)

    def evaluation(self, row: dict[str, Any]) -> None:
        """Records one evaluation on the validation split."""
        if self._is_writer:
            row = {"kind": "evaluation"} | row
            self._write(row)
            self._console.evaluation(row)
            self._draw(row)

    def goodput(self, row: dict[str, Any]) -> None:
        """Records where the time went, up to a step."""
        if self._is_writer:
            self._write({"kind": goodput.KIND} | row)

    def sync(self) -> None:
        """Sees to it that all rows are in metrics.jsonl; on a disk they are at once."""
        if self._is_writer:
            self._file.sync()

    def say(self, message: str) -> None:
        """Prints one line for the user above the progress."""
        if self._is_writer:
            self._console.say(message)

    def _write(self, row: dict[str, Any]) -> None:
        self._file.add(json.dumps(row, ensure_ascii=False))

    def _draw(self, row: dict[str, Any]) -> None:
        for key, value in row.items():
            if isinstance(value, int | float) and key != "step":
                self._events.add_scalar(f"{row['kind']}/{key}", value, row["step"])

    def __enter__(self) -> Self:
        """Starts the console's progress."""
        if self._is_writer:
            self._console.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stops the progress and closes every file."""
        if not self._is_writer:
            return
        self._console.stop()
        self._file.close()
        if "_events" in vars(self):
            self._events.close()
        if "_waiting" in vars(self):
            storage.copy_files(Path(self._waiting.name), self._events_folder)
            self._waiting.cleanup()


def _cut(
    rows: list[dict[str, Any]], first_step: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows that stay when a run goes on from a step, and the others."""
    stays = [row["step"] <= first_step or row["kind"] == goodput.KIND for row in rows]
    kept = [row for row, stay in zip(rows, stays, strict=True) if stay]
    return kept, [row for row, stay in zip(rows, stays, strict=True) if not stay]


class Console:
    """Progress on stderr: a live line on a terminal, a plain line every ten seconds elsewhere."""

    def __init__(self, *, name: str, first_step: int, last_step: int) -> None:
        self._name, self._first_step, self._last_step = name, first_step, last_step
        self._is_terminal = sys.stderr.isatty()
        self._progress = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}", markup=False),
            rich_progress.BarColumn(bar_width=20),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TextColumn("{task.fields[facts]}", markup=False),
            rich_progress.TimeRemainingColumn(),
            console=rich_console.Console(stderr=True),
            disable=not self._is_terminal,
        )
        self._task = self._progress.add_task(name, total=last_step, completed=first_step, facts="")
        self._started_s = self._printed_s = time.monotonic()

    def start(self) -> None:
        """Shows the progress; the clock of the time left starts here."""
        self._started_s = self._printed_s = time.monotonic()
        self._progress.start()

    def stop(self) -> None:
        """Leaves the last state on the screen."""
        self._progress.stop()

    def say(self, message: str) -> None:
        """Prints one line."""
        if self._is_terminal:
            self._progress.console.out(message, highlight=False)
        else:
            progress.say(message)

    def train(self, row: dict[str, Any]) -> None:
        """Shows a step: loss, bits per byte of the batch, rate, wait for data, time left."""
        facts = (
            f"loss {row['loss']:.3f}  bpb {row['bpb']:.3f}  {row['tokens_per_s']:,.0f} tokens/s  "
            f"data wait {row['data_wait_s'] * 1000:.1f} ms"
        )
        if self._is_terminal:
            self._progress.update(self._task, completed=row["step"], facts=facts)
            return
        now_s = time.monotonic()
        is_last = row["step"] == self._last_step
        if now_s - self._printed_s < progress.PLAIN_INTERVAL_S and not is_last:
            return
        self._printed_s = now_s
        step_s = (now_s - self._started_s) / (row["step"] - self._first_step)
        left_s = (self._last_step - row["step"]) * step_s
        self.say(
            f"{self._name} step {row['step']}/{self._last_step}  {facts}  "
            f"left {int(left_s // 60)}:{int(left_s % 60):02d}"
        )

    def evaluation(self, row: dict[str, Any]) -> None:
        """Shows an evaluation."""
        self.say(
            f"{self._name} step {row['step']}: validation {row['bits_per_byte']:.4f} bits per "
            f"byte, {row['bits_per_char']:.3f} per character ({row['num_documents']} documents)"
        )
