"""Progress of long work on stderr: a live bar on a terminal, else a line every ten seconds."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

PLAIN_INTERVAL_S = 10.0
"""Seconds between lines where stderr is no terminal."""

Report = Callable[[int, int], None]
"""Called with what is done and the total, in the same unit."""


@contextmanager
def of_work(label: str, unit: str) -> Iterator[Report]:
    """A reporter of work done and work in all, in `unit`, with rate and time left."""
    if sys.stderr.isatty():
        with _live(label, unit) as report:
            yield report
    else:
        yield _plain(label, unit)


@contextmanager
def _live(label: str, unit: str) -> Iterator[Report]:
    from rich import console, progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=20),
        progress.TextColumn("{task.completed:,.0f} of {task.total:,.0f} " + unit),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeRemainingColumn(),
    )
    bar = progress.Progress(*columns, console=console.Console(stderr=True))
    task = bar.add_task(label, total=0, rate="")
    started_s = time.monotonic()

    def report(done: int, total: int) -> None:
        bar.start()  # with the first report: work that turns out to be done already shows no bar
        rate = done / max(time.monotonic() - started_s, 1e-9)  # clocks may be coarse
        bar.update(task, completed=done, total=total, rate=f"{rate:,.0f} {unit}/s")

    try:
        yield report
    finally:
        bar.stop()


def _plain(label: str, unit: str) -> Report:
    started_s = printed_s = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal printed_s
        now_s = time.monotonic()
        if now_s - printed_s < PLAIN_INTERVAL_S:
            return
        printed_s = now_s
        rate = done / (now_s - started_s)
        left_s = (total - done) / rate if rate else float("inf")
        say(f"{label}: {done:,} of {total:,} {unit}, {rate:,.0f} {unit}/s, {left_s:.0f} s left")

    return report


def through[Item](items: Sequence[Item], report: Report) -> Iterator[Item]:
    """The items one by one; each is reported as done when the next one is asked for."""
    for index, item in enumerate(items):
        yield item
        report(index + 1, len(items))


def say(message: str) -> None:
    """One line for the user on stderr."""
    print(message, file=sys.stderr, flush=True)
