"""What the sides of `peers_train.py` share, in whichever interpreter: standard library alone."""

import json
import resource
import sys
import time
from collections.abc import Callable

started_s = time.perf_counter()


def peak_bytes() -> int:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def serve(
    step: Callable[[], float],
    versions: dict[str, str],
    peak: Callable[[], int],
    device_kind: str | None = None,
) -> None:
    """Steps once, then once for each line read; says how long each took.

    `step` gives the loss, when it is done; `peak` the most bytes held.
    """
    step()
    _say(
        {
            "first_step_s": time.perf_counter() - started_s,
            "versions": versions,
            "device_kind": device_kind,
        }
    )
    for _ in sys.stdin:
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        loss = step()
        _say(
            {
                "cpu_s": time.process_time() - cpu_s,
                "wall_s": time.perf_counter() - wall_s,
                "loss": loss,
                "peak_gib": peak() / 2**30,
            }
        )


def _say(line: dict[str, object]) -> None:
    print(json.dumps(line), flush=True)
