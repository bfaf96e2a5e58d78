"""A hub on the loopback, of one test alone, and folders to upload to it."""

from types import SimpleNamespace

import numpy as np
import pytest
from huggingface_hub import constants
from huggingface_hub.utils import _http

from jgpt2 import manifest, storage
from tests.publish import hub_stub
from tests.publish.uploads import LARGER, publish, there


@pytest.fixture
def waits(monkeypatch, tmp_path):
    """The library without this machine's login and cache; what it waits between its attempts."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("HF_TOKEN_PATH", "AGENT_HARNESSES_PATH"):
        monkeypatch.setattr(constants, name, str(tmp_path / "home" / name))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    waited = []
    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=waited.append))
    return waited


@pytest.fixture
def server(waits, monkeypatch):
    with hub_stub.serving() as serving:
        monkeypatch.setattr(constants, "ENDPOINT", serving.endpoint)
        template = serving.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield serving


@pytest.fixture
def export(tmp_path):
    """Makes a folder as `jgpt2 export` leaves it, of random weights."""

    def make(name="tiny", *, step=1000, seed=0, more=None):
        folder = tmp_path / "公開 一" / name
        random = np.random.default_rng(seed)
        files = {
            LARGER: random.bytes(300_000),
            "model-00002-of-00002.safetensors": random.bytes(200_000),
            "config.json": b'{"model_type": "gpt2"}\n',
            "tokenizer/tokenizer.model": random.bytes(2_000),
            "tokenizer/manifest.json": b"{}\n",
            "README.md": f"---\nlanguage: ja\n---\n# 札 {seed}\n".encode(),
            **(more or {}),
        }
        for path, content in files.items():
            storage.write_bytes(folder / path, content)
        manifest.write(
            folder, kind="export", name=name, identity={"step": step}, parents={}, files=files
        )
        return folder

    return make


@pytest.fixture
def published(server, export):
    """What is on `main` before the upload under test; the requests for it are forgotten."""
    publish(export("earlier", step=500, seed=9))
    del server.requests[:]
    return there(server)
