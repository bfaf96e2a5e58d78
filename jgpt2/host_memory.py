"""Host memory that stays with the process, so that a step on a CPU does not ask for it anew.

XLA's CPU client takes its buffers from malloc. With glibc's defaults, large ones are mapped at
every step and given back after it, and the kernel clears each page anew: a third of the CPU time
of a training step of a small model.
"""

import ctypes
import sys
from pathlib import Path

# glibc, malloc.h
M_TRIM_THRESHOLD = -1
M_TOP_PAD = -2
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8

MAPPED_BYTES = 512 * 2**20
"""Buffers of that size are mapped and given back: the working memory of a step on long rows.

In what is kept, small objects take the edge of its place between two steps; the next one then needs
another as large. Mapping costs a twentieth of such a step, a third of a small one.
"""

ACCELERATORS = ("nvidia[0-9]*", "accel[0-9]*", "vfio/[0-9]*")
"""Device files of GPUs and TPUs: where there are some, buffers do not come from malloc."""


def keep() -> bool:
    """Tells glibc to keep what is freed, up to `MAPPED_BYTES`; whether it did.

    Call before JAX is imported. Does nothing where there is an accelerator, or another C library.
    """
    if not sys.platform.startswith("linux"):
        return False
    if any(True for pattern in ACCELERATORS for _ in Path("/dev").glob(pattern)):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # One arena: the others are made of maps of 64 MiB at most, and map larger buffers one by one.
    settings = {
        M_ARENA_MAX: 1,
        M_MMAP_THRESHOLD: MAPPED_BYTES,
        M_TRIM_THRESHOLD: -1,
        M_TOP_PAD: 64 * 2**20,
    }
    return all([mallopt(name, value) for name, value in settings.items()])
