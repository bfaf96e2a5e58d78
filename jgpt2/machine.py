"""What a figure was measured on, and how far its repetitions lie apart: for every measurement."""

import importlib.metadata
import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jgpt2 import manifest


def describe(libraries: Sequence[str] = ()) -> dict[str, Any]:
    """CPU, cores, load, Python, versions of `libraries` (distribution names), code version."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "cores_used": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_1min": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in sorted(libraries)},
        "code_version": manifest.code_version(),
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, lowest and highest of repeated measurements, and how many there were.

    >>> spread([3.0, 1.0, 2.0])
    {'median': 2.0, 'lowest': 1.0, 'highest': 3.0, 'repetitions': 3}
    """
    return {
        "median": round(statistics.median(values), 3),
        "lowest": round(min(values), 3),
        "highest": round(max(values), 3),
        "repetitions": len(values),
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
