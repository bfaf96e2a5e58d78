"""N processes on this machine, each with D devices on the CPU, started again when they fall.

What a cluster does with the exit codes of a run, done here: for tests, and to learn on. It knows
nothing of the command but its exit codes (`jgpt2.launch.exits`).
"""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from types import FrameType

from jgpt2 import progress
from jgpt2.errors import InputError
from jgpt2.launch import exits, workers

JGPT2 = (sys.executable, "-m", "jgpt2")
_POLL_S = 0.05
_SHORT_GRACE_S = 5.0
"""For the others, when one has ended with a code that is never retried."""

OnStart = Callable[[list[Popen[bytes]], int], None]
"""Called when the processes of an attempt, counted from 0, have been started."""


@dataclass(frozen=True)
class Outcome:
    """How a launch ended."""

    exit_code: int
    attempts: list[list[int]]
    """Exit codes of each attempt, by process."""


def run(
    arguments: Sequence[str],
    *,
    processes: int,
    devices: int,
    max_restarts: int = 3,
    grace_s: float = 30.0,
    logs: Path | None = None,
    environment: Mapping[str, str] | None = None,
    on_start: OnStart | None = None,
    command: Sequence[str] = JGPT2,
) -> Outcome:
    """Runs `command` with the arguments in every process until all have done it.

    Args:
        arguments: A verb with its flags, the same for every process.
        processes: How many; their environment tells each its place.
        devices: CPU devices of each.
        max_restarts: How often failures may be answered by a restart; saved states do not count.
        grace_s: How long the others may take to end by themselves when one has ended early.
        logs: Folder for process-INDEX.log, all attempts in one.
        environment: Variables on top of this process's own.
        on_start: Sees the processes of each attempt.
        command: What the arguments are for, in place of `jgpt2`.

    Raises InputError for numbers that launch nothing.
    """
    _check(processes=processes, devices=devices, max_restarts=max_restarts, grace_s=grace_s)
    if logs is not None:
        logs.mkdir(parents=True, exist_ok=True)
    attempts: list[list[int]] = []
    restarts = 0
    with _asked_to_stop() as asked:
        while True:
            given = workers.variables(environment, processes=processes, devices=devices)
            with workers.Workers([*command, *arguments], processes, given, logs) as attempt:
                if on_start is not None:
                    on_start(attempt.processes, len(attempts))
                _wait(attempt, asked, grace_s)
            attempts.append(attempt.codes)
            code = _verdict(attempt, asked)
            if asked or code == exits.DONE or code in exits.NEVER_RETRIED:
                return Outcome(code, attempts)
            if exits.is_failure(code) and restarts == max_restarts:
                progress.say(f"launch: exit codes {attempt.codes}; {restarts} restarts are used up")
                return Outcome(code, attempts)
            restarts += exits.is_failure(code)
            _say(attempt.codes, code, f"restart {restarts} of {max_restarts}")


def _say(codes: list[int], code: int, counted: str) -> None:
    what = counted if exits.is_failure(code) else "state saved, restart"
    progress.say(f"launch: exit codes {codes}; {what}")


def _check(*, processes: int, devices: int, max_restarts: int, grace_s: float) -> None:
    for name, value in (("processes", processes), ("devices", devices)):
        if value < 1:
            raise InputError(f"--{name} {value} launches nothing; give 1 or more.")
    for flag, value in (("--max-restarts", max_restarts), ("--grace-s", grace_s)):
        if value < 0:
            raise InputError(f"{flag} {value} is below 0; give 0 or more.")


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """The signals SIGTERM and SIGINT that have come; a thread but the main one hears none."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def hear(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    before = {number: signal.signal(number, hear) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(attempt: workers.Workers, asked: list[int], grace_s: float) -> None:
    """Returns when all have ended, of themselves or killed."""
    passed_on = 0
    until_s = float("inf")
    while not attempt.poll():
        if len(asked) > passed_on:
            passed_on = len(asked)
            attempt.terminate() if passed_on == 1 else attempt.kill()
        until_s = min(until_s, time.monotonic() + _patience_s(attempt, grace_s))
        if time.monotonic() >= until_s:
            slow = [i for i in range(len(attempt.processes)) if i not in attempt.ended]
            progress.say(f"launch: processes {slow} have not ended in time and are killed")
            attempt.kill()
        time.sleep(_POLL_S)


def _patience_s(attempt: workers.Workers, grace_s: float) -> float:
    """How long the rest may take to end from when it is known how the others ended."""
    codes = attempt.ended.values()
    if any(code in exits.NEVER_RETRIED for code in codes):
        return min(grace_s, _SHORT_GRACE_S)
    return float("inf") if all(code == exits.DONE for code in codes) else grace_s


def _verdict(attempt: workers.Workers, asked: list[int]) -> int:
    """One exit code for all; of several failures the first one, as others follow from it."""
    codes = list(attempt.ended.values())
    failures = [code for code in codes if exits.is_failure(code)]
    never = [code for code in failures if code in exits.NEVER_RETRIED]
    if never:
        return never[0]
    if set(codes) == {exits.DONE}:
        return exits.DONE
    if signal.SIGINT in asked:
        return exits.INTERRUPTED
    return failures[0] if failures else exits.SAVED
