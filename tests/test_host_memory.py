"""What a freed buffer leaves with the process, in a process of its own: mallopt is for good."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, json
from jgpt2 import host_memory

MIB = 2**20
host_memory.MAPPED_BYTES = 64 * MIB
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]


def resident_mib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / MIB


def kept_mib(size):
    before = resident_mib()
    place = libc.malloc(size * MIB)
    ctypes.memset(place, 1, size * MIB)
    assert resident_mib() - before > size - 1
    libc.free(place)
    return resident_mib() - before


print(json.dumps([host_memory.keep(), kept_mib(80), kept_mib(48)]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_small_buffers_stay_with_the_process_and_large_ones_go_back():
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    is_kept, of_large, of_small = json.loads(run.stdout)
    if not is_kept:
        pytest.skip("not glibc, or an accelerator is here")
    assert of_large < 1
    assert of_small > 47
