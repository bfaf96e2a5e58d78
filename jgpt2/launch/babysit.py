"""A run on TPU VMs from its creation to its end, through preemptions, as one would by hand.

Each look asks what there is, and does one thing about it: create what is missing, delete what was
preempted, set up what is new, start what does not run, start again what ended early.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from jgpt2 import progress
from jgpt2.launch import calls, exits, vm
from jgpt2.launch.accelerators import Accelerator

_LOST = ("FAILED", "SUSPENDING", "SUSPENDED")
"""States of a queued resource that has lost its node, or gets none."""
_LOST_NODE = ("PREEMPTED", "TERMINATED", "DELETING", "STOPPED")
_DEAF_LOOKS = 3
"""So often in a row may hosts not answer before the TPU is taken for lost."""
_TEMPORARY_FAILURE = 75
"""EX_TEMPFAIL of sysexits.h: Google's answers were no use, again and again."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Care:
    """What is looked after, and how long."""

    vm: vm.Vm
    accelerator: Accelerator
    command: Sequence[str]
    spot: bool = False
    reserved: bool = False
    archive: Path | None = None
    max_restarts: int = 10
    """Failures of the command that are answered by a restart; preemptions and 42 do not count."""
    poll_s: float = 30.0
    grace_s: float = 120.0
    """For the other hosts to end by themselves when one has ended early."""
    delete_at_end: bool = False


@dataclasses.dataclass
class _Seen:
    """What the looks so far have shown."""

    is_ready: bool = False
    """The hosts of this node have the code."""
    restarts: int = 0
    deaf: int = 0
    failures: int = 0
    """Calls in a row that failed and should not have."""
    ended_s: float | None = None
    """When the first host had ended, by the clock of `time.monotonic`."""


def plan(care: Care) -> list[vm.Call]:
    """The calls of an undisturbed run."""
    ends = vm.delete(care.vm) if care.delete_at_end else []
    return [
        *_creation(care),
        *vm.setup(care.vm, care.archive),
        *vm.run(care.vm, care.command),
        *vm.status(care.vm),
        *ends,
    ]


def watch(care: Care, *, pause: Callable[[float], None] = time.sleep) -> int:
    """Looks until the run is done or must not go on; the exit code."""
    _creation(care)  # a type that has no VMs is refused before the first call
    seen = _Seen()
    while True:
        code = _look(care, seen)
        if code is not None:
            break
        pause(care.poll_s)
    if care.delete_at_end:
        calls.make(vm.delete(care.vm))
    else:
        progress.say(f"launch: {care.vm.label} is kept, and billed, until `vm delete`")
    return code


def _creation(care: Care) -> list[vm.Call]:
    return vm.create(care.vm, care.accelerator, spot=care.spot, reserved=care.reserved)


def _look(care: Care, seen: _Seen) -> int | None:
    """One look and what follows from it; an exit code when that is all."""
    code, out, err = calls.ask(vm.state(care.vm))
    state = out.strip()
    if code and "NOT_FOUND" not in err:
        return _patience(seen, err)
    if code:
        seen.is_ready = False
        return _count(seen, calls.make(_creation(care)), "create")
    if state in _LOST:
        return _replace(care, seen, f"its request is {state}")
    if state != "ACTIVE":
        progress.say(f"launch: {care.vm.label} is {state or 'not known'}; waiting")
        return None
    _, out, err = calls.ask(vm.node_state(care.vm))
    if out.strip() in _LOST_NODE or "NOT_FOUND" in err:
        return _replace(care, seen, f"its node is {out.strip() or 'gone'}")
    if not seen.is_ready:
        return _begin(care, seen)
    return _hosts(care, seen)


def _begin(care: Care, seen: _Seen) -> int | None:
    """Sets up a new node and starts the run; one that runs already is only watched."""
    code, out, _ = calls.ask(vm.host_status(care.vm))
    if not code and "running" in _states(out):
        seen.is_ready = True
        return None
    code = calls.make(vm.setup(care.vm, care.archive))
    code = code or calls.make(vm.run(care.vm, care.command))
    seen.is_ready, seen.ended_s = not code, None
    return _count(seen, code, "set up")


def _hosts(care: Care, seen: _Seen) -> int | None:
    code, out, err = calls.ask(vm.host_status(care.vm))
    states = _states(out)
    if code or len(states) < care.accelerator.hosts:
        seen.deaf += 1
        progress.say(
            f"launch: {len(states)} of {care.accelerator.hosts} hosts answer: {err[-200:]}"
        )
        if seen.deaf >= _DEAF_LOOKS:
            return _replace(care, seen, f"hosts did not answer {seen.deaf} times")
        return None
    seen.deaf = seen.failures = 0
    progress.say(f"launch: {', '.join(states)}")
    never = [code for code in exits.NEVER_RETRIED if f"exit {code}" in states]
    if never:
        calls.make(vm.kill(care.vm))
        return never[0]
    if all(state == "exit 0" for state in states):
        return exits.DONE
    going = [state for state in states if state in ("running", "none")]
    ended_early = [state for state in states if state not in ("running", "none", "exit 0")]
    if not ended_early:
        return None
    if going:
        return _wait_for_others(care, seen)
    return _restart(care, seen, ended_early)


def _states(out: str) -> list[str]:
    """What follows the host's name in each line of `host.sh status`; other lines are ssh's."""
    parted = [line.strip().partition(" ")[2] for line in out.splitlines()]
    return [state for state in parted if state in ("running", "gone", "none") or _is_exit(state)]


def _is_exit(state: str) -> bool:
    word, _, code = state.partition(" ")
    return word == "exit" and code.isdigit()


def _wait_for_others(care: Care, seen: _Seen) -> None:
    seen.ended_s = seen.ended_s or time.monotonic()
    if time.monotonic() - seen.ended_s >= care.grace_s:
        calls.make(vm.kill(care.vm))


def _restart(care: Care, seen: _Seen, states: list[str]) -> int | None:
    failed = [state for state in states if state != f"exit {exits.SAVED}"]
    if failed:
        if seen.restarts == care.max_restarts:
            progress.say(f"launch: {seen.restarts} restarts are used up")
            return int(failed[0].removeprefix("exit ")) if _is_exit(failed[0]) else 1
        seen.restarts += 1
        progress.say(f"launch: restart {seen.restarts} of {care.max_restarts}")
    seen.ended_s = None
    return _count(seen, calls.make(vm.run(care.vm, care.command)), "run")


def _replace(care: Care, seen: _Seen, why: str) -> int | None:
    """Deletes the TPU; the next look creates it anew, and the run goes on from its checkpoint."""
    progress.say(f"launch: {care.vm.label} is lost ({why}) and is made anew")
    seen.is_ready, seen.deaf, seen.ended_s = False, 0, None
    return _count(seen, calls.make(vm.delete(care.vm)), "delete")


def _patience(seen: _Seen, err: str) -> int | None:
    progress.say(f"launch: {err.strip()[-300:]}")
    return _count(seen, 1, "describe")


def _count(seen: _Seen, code: int, action: str) -> int | None:
    """Gives up when calls fail again and again: quota, permission, or Google's own trouble."""
    seen.failures = seen.failures + 1 if code else 0
    if seen.failures < 5:
        return None
    progress.say(f"launch: `{action}` failed {seen.failures} times in a row; read its words above")
    return _TEMPORARY_FAILURE
