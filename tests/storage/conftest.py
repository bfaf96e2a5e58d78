"""A bucket on the loopback: an emulator of Google Cloud Storage in a process of its own."""

import contextlib
import http.client
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jgpt2 import storage

BUCKET = "corpora"
_START_S = 30


def environment(port: int) -> dict[str, str]:
    """What sends gcsfs and TensorStore to the emulator, without credentials and probes."""
    url = f"http://127.0.0.1:{port}"
    return {
        "TENSORSTORE_GCS_HTTP_URL": url,
        "STORAGE_EMULATOR_HOST": url,
        "FSSPEC_GCS_TOKEN": "anon",
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        "NO_PROXY": "127.0.0.1",
    }


@pytest.fixture(scope="session")
def emulator() -> Iterator[None]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, Path(__file__).with_name("emulator.py"), str(port), BUCKET]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    before = dict(os.environ)
    os.environ.update(environment(port))
    try:
        _wait_for(port)
        yield
    finally:
        server.kill()
        server.wait()
        os.environ.clear()
        os.environ.update(before)


def _wait_for(port: int) -> None:
    until_s = time.monotonic() + _START_S
    while True:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            connection.request("GET", "/")
            connection.getresponse().read()
            return
        assert time.monotonic() < until_s, "the emulator does not answer"
        time.sleep(0.1)


@pytest.fixture
def bucket(
    emulator: None, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """An empty folder of the bucket, of this test alone; the cache folder is one of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    name = re.sub(r"\W", "_", request.node.name)
    return storage.path(f"gs://{BUCKET}/散歩 一/{name}")
