"""Killed at any moment, the same command ends with the bytes of an undisturbed build."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile

import pytest

FAST_KILLS, ALL_KILLS = 3, 20


@pytest.fixture(scope="module")
def crawl(tmp_path_factory, tell):
    """Files of several kinds, in as many shards as there are files."""
    source = tmp_path_factory.mktemp("資 料")
    for number in range(12):
        page = "".join(f"<p>{tell(100 * number + i, 30)}</p>" for i in range(6))
        html = f"<html><head><title>頁{number}</title></head><body>{page}</body></html>"
        (source / f"{number}.html").write_bytes(html.encode("cp932"))
        rows = [json.dumps({"text": tell(5000 + 40 * number + i)}) for i in range(60)]
        (source / f"{number}.jsonl").write_text("\n".join(rows), "utf-8")
    with zipfile.ZipFile(source / "作品.zip", "w") as archive:
        archive.writestr("作品.txt", tell(9999, 60).encode("cp932"))
    return source


SCRIPT = """
import pathlib, sys
from jgpt2.corpus import build, shards
shards.SHARD_BYTES = 4_000
build.build([sys.argv[1]], pathlib.Path(sys.argv[2]), name="a", workers=int(sys.argv[3]))
"""


def start(source, out, workers=1):
    command = [sys.executable, "-c", SCRIPT, str(source), str(out), str(workers)]
    return subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)


def finish(process):
    _, said = process.communicate()
    assert process.returncode == 0, said.decode()


def contents(folder):
    timed = {"manifest.json", "account.json", "report.html"}
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in timed}


@pytest.mark.parametrize("num_kills", [FAST_KILLS, pytest.param(ALL_KILLS, marks=pytest.mark.slow)])
def test_a_killed_build_ends_as_if_nothing_had_happened(tmp_path, crawl, num_kills):
    start_s = time.monotonic()
    finish(start(crawl, tmp_path / "undisturbed"))
    takes_s = time.monotonic() - start_s
    expected = contents(tmp_path / "undisturbed")
    draw = random.Random(num_kills)
    killed = 0
    out = tmp_path / "out 一"
    for attempt in range(10 * num_kills):
        process = start(crawl, out, workers=1 + attempt % 2)
        try:
            process.wait(draw.uniform(0, takes_s))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.communicate()
        if out.exists():  # was faster than the kill: all of it begins again
            assert contents(out) == expected
            for path in sorted(tmp_path.glob("out 一*/**/*"), reverse=True):
                path.unlink() if path.is_file() else path.rmdir()
            out.rmdir()
        if killed == num_kills:
            break
    assert killed == num_kills
    finish(start(crawl, out))
    assert contents(out) == expected
    assert {path.name for path in tmp_path.iterdir()} == {
        "undisturbed", "undisturbed.documents", "out 一", "out 一.documents",
    }  # fmt: skip
