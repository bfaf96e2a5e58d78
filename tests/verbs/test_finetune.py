"""`jgpt2 finetune` on the command line: a run, and what it took and gave."""

import json
import shutil

import jax
import numpy as np
import pytest

from jgpt2 import manifest, runs
from jgpt2.data import tokens
from jgpt2.train import inputs
from tests.conftest import ROOT

BRIEF = (
    *("--batch.sequences", 8, "--budget.steps", 6, "--optimizer.peak-lr", 0.01),
    *("--evaluation.every-steps", 3, "--evaluation.max-bytes", 20_000),
)


@pytest.fixture(scope="module")
def places(walk, tmp_path_factory):
    """A copy of the walk's run, and a folder with its dataset and essays."""
    root = tmp_path_factory.mktemp("続 き")
    shutil.copytree(walk.root / "runs" / "byte", root / "start")
    (root / "data").mkdir()
    (root / "data" / "ja").symlink_to(walk.root / "data" / "ja")
    shutil.copy(ROOT / "jgpt2" / "sample" / "essay.jsonl", root)
    return root


@pytest.fixture
def finetune(places, command):
    """finetune("full", *flags): the outcome of a fine-tuning on the essays."""
    if not (places / "data" / "essay").exists():
        built = ("corpus", "build", places / "essay.jsonl", "--out", places / "data" / "essay")
        assert command(*built, "--test-share", 0.2).exit_code == 0

    def run(name, *flags):
        where = ("--run", places / name, "--dataset", "essay", "--datasets", places / "data")
        return command("finetune", places / "start", *where, *BRIEF, *flags)

    return run


def evaluate(command, run, dataset):
    return command("evaluate", run, "--dataset", dataset, "--json").json()


def test_a_model_goes_on_and_says_what_it_forgot(finetune, places, command):
    told = finetune("full", "--json").json()
    assert json.loads((places / "full" / "forgetting.json").read_text("utf-8")) == told
    run, start = places / "full", places / "start"
    for name, dataset in (("old", "ja"), ("new", "essay")):
        folder = places / "data" / dataset
        before, after = (evaluate(command, each, folder) for each in (start, run))
        assert told[name] == {
            "datasets": {dataset: manifest.read(folder).fingerprint},
            "split": "test",
            "num_documents": before["num_documents"],
            "num_bytes": before["num_bytes"],
            "before": before["bits_per_byte"],
            "after": after["bits_per_byte"],
            "difference": after["bits_per_byte"] - before["bits_per_byte"],
        }
        assert before["model"] == told["start"]["model"] != after["model"] == told["run"]["model"]
    assert told["new"]["difference"] < -0.05
    kept, moved = (runs.open_model(each).params for each in (start, run))
    pairs = zip(jax.tree.leaves(kept), jax.tree.leaves(moved), strict=True)
    assert not any(np.array_equal(*pair) for pair in pairs)
    assert manifest.read(run).parents["start"] == manifest.read(start).fingerprint
    experiment, parent = runs.read_config(run), runs.read_config(start)
    assert experiment.name == "byte-finetuned" and experiment.tokenizer == parent.tokenizer
    assert experiment.start is not None
    assert experiment.start.model == manifest.read(start).fingerprint
    assert experiment.model == parent.model

    again = finetune("full")
    assert again.exit_code == 0 and "is complete at step 6" in again.err
    assert again.out.splitlines()[0].split() == [
        *("test", "set", "documents", "bytes", "before", "after", "difference")
    ]
    assert [line.split()[0] for line in again.out.splitlines()[1:]] == ["old:", "new:"]
    changed = finetune("full", "--method", "lora")
    assert changed.exit_code == 2
    assert "start.tuning.method: 'full' -> 'lora'" in changed.err


def test_a_lora_run_without_its_old_data_generates_and_starts_another(finetune, places, command):
    (places / "bare").mkdir()
    (places / "bare" / "essay").symlink_to(places / "data" / "essay")
    told = finetune("lora", "--method", "lora", "--datasets", places / "bare")
    assert told.exit_code == 0, told.err
    assert "no test set of what" in told.err and "(--old-dataset FOLDER)" in told.err
    record = json.loads((places / "lora" / "forgetting.json").read_text("utf-8"))
    assert record["old"] is None and record["new"]["difference"] < 0
    writing = ("generate", places / "lora", "--prompt", "朝は", "--max-tokens", 4, "--json")
    assert command(*writing).exit_code == 0
    where = ("--run", places / "third", "--dataset", "ja", "--datasets", places / "data")
    given = ("--old-dataset", places / "data" / "essay", "--name", "三代目", "--json")
    third = command("finetune", places / "lora", *where, *BRIEF, *given).json()
    assert third["start"]["model"] == manifest.read(places / "lora").fingerprint
    assert third["old"]["before"] == record["new"]["after"]


@pytest.mark.slow
def test_an_imported_model_goes_on_and_is_exported(finetune, places, command, walk):
    out, imported = places / "out", places / "imported"
    assert command("export", walk.root / "runs" / "byte", out).exit_code == 0
    assert command("import", out, imported).exit_code == 0
    where = ("--run", places / "of import", "--dataset", "essay", "--datasets", places / "data")
    old = ("--old-dataset", places / "data" / "ja")
    finetune("essays are built", "--budget.steps", 1)
    told = command("finetune", imported, *where, *BRIEF, *old, "--method", "lora", "--json").json()
    start = runs.open_model(imported)
    assert told["start"] == {"model": start.fingerprint, "step": 0}
    before = evaluate(command, places / "start", places / "data" / "ja")["bits_per_byte"]
    assert told["old"]["before"] == pytest.approx(before, abs=1e-3)  # the run computes in bfloat16
    again = places / "out again"
    assert command("export", places / "of import", again).exit_code == 0
    parents = manifest.verify(again, kind="export").parents
    assert parents["run"] == told["run"]["model"]
    assert manifest.read(places / "of import").parents["start"] == start.fingerprint


def test_its_config_alone_is_not_trained(finetune, places, command):
    assert finetune("full").exit_code == 0
    config = places / "full" / "config.json"
    refused = command(
        *("train", config, "--run", places / "x", "--datasets", places / "data"),
        *("--tokenizers", places),
    )
    assert refused.exit_code == 2 and "`jgpt2 finetune FOLDER`" in refused.err


def test_a_store_of_another_vocabulary_of_that_name_is_refused(finetune, places, command, walk):
    own = places / "own" / "essay"
    made = ("corpus", "build", places / "essay.jsonl", "--out", own, "--test-share", 0.2)
    assert command(*made).exit_code == 0
    tokens.build(own, walk.root / "tokenizers" / "sp", inputs.store_path(own, "byte"))
    refused = finetune("other", "--datasets", places / "own")
    assert refused.exit_code == 2
    assert "is of tokenizer" in refused.err and "remove that one to build it anew" in refused.err
