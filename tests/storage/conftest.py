"""A bucket on the loopback: an emulator of Google Cloud Storage in a process of its own."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from jgpt2 import storage
from tests.storage import emulator as gcs

BUCKET = "corpora"


@pytest.fixture(scope="session")
def emulator() -> Iterator[None]:
    with gcs.serving(BUCKET):
        yield


@pytest.fixture
def bucket(
    emulator: None, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """An empty folder of the bucket, of this test alone; the cache folder is one of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    name = re.sub(r"\W", "_", request.node.name)
    return storage.path(f"gs://{BUCKET}/散歩 一/{name}")
