"""A build that is killed or runs out of disk leaves no dataset, and the next one goes on."""

import contextlib
import errno
import json
import os
import resource
import signal
import subprocess
import sys

import pytest

from jgpt2.corpus import build


@pytest.fixture
def source(tmp_path, tell):
    """A file of 100 stories."""
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps({"text": tell(i)}) + "\n" for i in range(100)), "utf-8")
    return file


def test_a_killed_build_leaves_no_dataset_and_the_next_cleans_up(tmp_path, source):
    script = (
        "import os, pathlib, signal, sys\n"
        "from jgpt2.corpus import build\n"
        "def told(done, total):\n"
        "    if done == total: os.kill(os.getpid(), signal.SIGKILL)\n"
        "build.build([sys.argv[1]], pathlib.Path(sys.argv[2]), name='a', told=told)\n"
    )
    out = tmp_path / "out"
    ended = subprocess.run([sys.executable, "-c", script, source, out], env=os.environ)
    assert ended.returncode == -signal.SIGKILL
    assert not out.exists()
    build.build([source], out, name="a")
    assert {path.name for path in tmp_path.iterdir()} == {"a.jsonl", "out", "out.documents"}


@contextlib.contextmanager
def largest_file(num_bytes: int):
    """A limit of the system on the size of files: writing fails as it does on a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.mark.parametrize("limit", [3_000, 30_000, 100_000])  # a shard, the index, the dataset
def test_a_full_disk_is_an_os_error_and_leaves_nothing(tmp_path, source, limit):
    with largest_file(limit), pytest.raises(OSError) as caught:
        build.build([source], tmp_path / "out", name="a")
    assert caught.value.errno in (errno.EFBIG, errno.EIO)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))
    build.build([source], tmp_path / "out", name="a")
