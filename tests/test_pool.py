import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jgpt2 import pool
from jgpt2.errors import InputError


def test_a_worker_that_is_ended_is_reported_with_the_remedy():
    with pytest.raises(InputError, match="fewer workers"):
        pool.run(os._exit, [3, 3], workers=2, done=print)
    assert multiprocessing.active_children() == []


PARENT = """
import os, signal, sys, time
from jgpt2 import pool
def task(path):
    open(f"{path}/{os.getpid()}", "w").close()
    time.sleep(TASK_S)
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    pool.run(task, [sys.argv[1]] * 20, workers=2, done=print)
"""


@contextlib.contextmanager
def busy(folder: Path, task_s: float) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A parent in a process group of its own, and the ids of its workers, all at work."""
    script = folder / "parent.py"
    script.write_text(PARENT.replace("TASK_S", str(task_s)))
    (folder / "pids").mkdir()
    parent = subprocess.Popen(
        [sys.executable, script, folder / "pids"],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: len(list((folder / "pids").iterdir())) == 2)
    pids = [int(path.name) for path in (folder / "pids").iterdir()]
    with parent:
        yield parent, pids
    wait_until(lambda: not any(is_running(pid) for pid in pids))


def test_workers_end_with_a_killed_parent(tmp_path: Path):
    with busy(tmp_path, task_s=60) as (parent, _):
        parent.kill()


def test_ctrl_c_twice_ends_all_and_only_the_parent_speaks(tmp_path: Path):
    # The second one in the middle of the first's clean-up hung Python 3.12 at its exit.
    with busy(tmp_path, task_s=1) as (parent, _):
        os.killpg(parent.pid, signal.SIGINT)
        time.sleep(0.2)
        os.killpg(parent.pid, signal.SIGINT)
        _, errors = parent.communicate(timeout=30)
    assert parent.returncode == -signal.SIGINT
    assert errors.count("Traceback") == errors.count("KeyboardInterrupt") == 1


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
