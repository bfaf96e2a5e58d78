"""A revision that was uploaded, in transformers: loaded from a hub by name, without remote code."""

import json
import os
import subprocess

import pytest
from huggingface_hub import constants

from jgpt2 import runs
from jgpt2.publish import hub
from jgpt2.publish.formats import hf
from tests.publish import hub_stub

SCRIPT = """
import json, sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

place, revision, folder = sys.argv[1:]
there = AutoModelForCausalLM.from_pretrained(place, revision=revision).state_dict()
here = AutoModelForCausalLM.from_pretrained(folder).state_dict()
tokenizer = AutoTokenizer.from_pretrained(place, revision=revision)
same = there.keys() == here.keys() and all(torch.equal(there[name], here[name]) for name in here)
print(json.dumps([same, tokenizer("港の朝は、早い。")["input_ids"]]))
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
@pytest.mark.parametrize("name", ["byte", "sp"])
def test_transformers_loads_a_step_by_its_revision(
    walk, reference_python, tmp_path, monkeypatch, name
):
    model = runs.open_model(walk.root / "runs" / name, step=6)
    folder = tmp_path / "公開 一"
    hf.export(model, walk.root / "runs" / name, folder, max_shard_bytes=20_000)
    with hub_stub.serving() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        prepared = hub.prepare(folder, "me/tiny-ja", revision="step-6")
        hub.publish(prepared, server.token)
        given = {
            "HF_ENDPOINT": server.endpoint,
            "HF_HOME": str(tmp_path / "home"),
            "HF_TOKEN": server.token,
            "NO_PROXY": "127.0.0.1",
        }
        command = [reference_python, "-c", SCRIPT, prepared.repo, prepared.revision, folder]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | given)
    assert done.returncode == 0, done.stderr
    wanted = model.tokenizer.encode("港の朝は、早い。").tolist()
    assert json.loads(done.stdout) == [True, wanted]
