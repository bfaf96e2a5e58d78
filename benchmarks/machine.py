"""What a figure was measured on: the machine, the libraries and the code, for every results file.

The scripts beside it say `import machine`; run them as `python benchmarks/NAME.py`.
"""

import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jgpt2 import manifest

RESULTS = Path(__file__).resolve().parent / "results"


def describe(libraries: Sequence[str] = ()) -> dict[str, Any]:
    """CPU, cores, load, Python, versions of `libraries` (distribution names), code version."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_1min": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in sorted(libraries)},
        "code_version": manifest.code_version(),
    }


def cpu_seconds(work: Callable[[], object]) -> float:
    """The CPU time of this process that the work takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, lowest and highest of repeated measurements, and how many there were."""
    return {
        "median": round(statistics.median(values), 3),
        "lowest": round(min(values), 3),
        "highest": round(max(values), 3),
        "repetitions": len(values),
    }


def save(name: str, result: dict[str, Any]) -> Path:
    """Writes `results/NAME.json` and gives its path."""
    path = RESULTS / f"{name}.json"
    manifest.write_text(path, json.dumps(result, ensure_ascii=False, indent=2) + "\n")
    return path


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
