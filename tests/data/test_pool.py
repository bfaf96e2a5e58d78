import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jgpt2.data import pool
from jgpt2.errors import InputError


def test_a_worker_that_is_ended_is_reported_with_the_remedy():
    with pytest.raises(InputError, match="fewer workers"):
        pool.run(os._exit, [3, 3], workers=2, done=print)
    assert multiprocessing.active_children() == []


def test_workers_end_with_a_killed_parent(tmp_path: Path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, signal, sys, time\n"
        "from jgpt2.data import pool\n"
        "def task(path):\n"
        "    open(f'{path}/{os.getpid()}', 'w').close()\n"
        "    time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    pool.run(task, [sys.argv[1]] * 2, workers=2, done=print)\n"
    )
    (tmp_path / "pids").mkdir()
    parent = subprocess.Popen([sys.executable, script, tmp_path / "pids"])
    until = time.monotonic() + 30
    while len(pids := [int(path.name) for path in (tmp_path / "pids").iterdir()]) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
