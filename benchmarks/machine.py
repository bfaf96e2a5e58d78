"""What the scripts beside it share: they say `import machine`; run them as
`python benchmarks/NAME.py`.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jgpt2 import manifest
from jgpt2.machine import describe, spread

__all__ = ["RESULTS", "cpu_seconds", "describe", "save", "spread"]

RESULTS = Path(__file__).resolve().parent / "results"


def cpu_seconds(work: Callable[[], object]) -> float:
    """The CPU time of this process that the work takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def save(name: str, result: dict[str, Any]) -> Path:
    """Writes `results/NAME.json` and gives its path."""
    path = RESULTS / f"{name}.json"
    manifest.write_json(path, result)
    return path
