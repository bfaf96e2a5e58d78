"""`jgpt2` with one fault to come, for `benchmarks/faults.py`: the product has no hooks for it.

The environment says which (FAULT), in which process (FAULT_INDEX), at the end of which step
(FAULT_STEP), after how long (FAULT_DELAY_S). The marker file makes it come once.
"""

import os
import random
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

SIGNALS = {
    "SIGKILL of a worker": (signal.SIGKILL, 1),
    "SIGKILL of process 0": (signal.SIGKILL, 0),
    "SIGTERM": (signal.SIGTERM, None),
    "SIGSTOP": (signal.SIGSTOP, None),
}
KINDS = (
    *SIGNALS,
    "exception on one host",
    "kill during save",
    "disk full during save",
    "stuck but alive",
)
SAVES = (8, 16, 24, 32)


def draw(kind: str, random: random.Random, *, last_step: int) -> tuple[dict[str, str], str]:
    """The environment that brings the fault about, and what it is in words."""
    step = random.choice(SAVES) if "during save" in kind else random.randint(1, last_step)
    index = random.randint(0, 1)
    if kind in SIGNALS and SIGNALS[kind][1] is not None:
        index = SIGNALS[kind][1]
    delay_s = random.random() * 0.03
    environment = {
        "FAULT": kind,
        "FAULT_STEP": str(step),
        "FAULT_INDEX": str(index),
        "FAULT_DELAY_S": str(delay_s),
    }
    return environment, f"process {index}, step {step}, {delay_s * 1000:.0f} ms later"


def main() -> int:
    """Runs the command with the fault in it."""
    from jgpt2 import cli

    kind = os.environ.get("FAULT")
    is_mine = os.environ.get("JAX_PROCESS_ID") == os.environ.get("FAULT_INDEX")
    if kind and is_mine and not Path(os.environ["FAULT_MARKER"]).exists():
        _plant(kind)
    return cli.main(sys.argv[1:])


def _plant(kind: str) -> None:
    from jgpt2.train import leg

    take, at_step = leg.Leg._take, int(os.environ["FAULT_STEP"])

    def taking(self: Any, step: int) -> Any:
        answer = take(self, step)
        if step == at_step:
            _strike(kind)
        return answer

    if kind == "disk full during save":
        _fill_disk_at(at_step)
    else:
        leg.Leg._take = taking


def _fill_disk_at(at_step: int) -> None:
    from jgpt2 import checkpoint

    save = checkpoint.Checkpoints.save

    def saving(self: Any, step: int, *given: Any, **named: Any) -> None:
        if step == at_step:
            Path(os.environ["FAULT_MARKER"]).touch()
            # Less than an array takes, more than what a run writes in lines.
            resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))
        save(self, step, *given, **named)

    checkpoint.Checkpoints.save = saving


def _strike(kind: str) -> None:
    delay_s = float(os.environ.get("FAULT_DELAY_S", "0"))
    if kind == "kill":  # once the last save is recorded
        time.sleep(4)
        os.kill(os.getpid(), signal.SIGKILL)
    if kind in SIGNALS or kind == "kill during save":
        number = SIGNALS[kind][0] if kind in SIGNALS else signal.SIGKILL
        threading.Thread(target=_send, args=(number, delay_s), daemon=True).start()
    else:
        Path(os.environ["FAULT_MARKER"]).touch()
        if kind == "exception on one host":
            raise RuntimeError("a fault that was planted")
        time.sleep(3600)


def _send(number: int, delay_s: float) -> None:
    time.sleep(delay_s)
    Path(os.environ["FAULT_MARKER"]).touch()
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    sys.exit(main())
