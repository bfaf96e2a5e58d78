"""The walk from a text to generated text with every artefact in a bucket, by the command line."""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import jgpt2
from jgpt2 import integrity, manifest, runs, storage

ROOT = Path(jgpt2.__file__).parents[1]
SHAPE = "--model.layers 1 --model.embed-dim 32 --model.heads 2 --model.context 32"
BRIEF = "--batch.sequences 8 --budget.num-bytes None --budget.steps 4 --optimizer.peak-lr 0.02"
SPARSE = "--evaluation.every-steps 2 --checkpoint.every-steps 2 --evaluation.max-bytes 1500"


@pytest.fixture
def text(tmp_path):
    (tmp_path / "text").mkdir()
    shutil.copy(ROOT / "jgpt2" / "sample" / "letter.jsonl", tmp_path / "text")
    return tmp_path / "text"


def training(bucket, run):
    places = ["--datasets", f"{bucket}/data", "--tokenizers", f"{bucket}/tokenizers"]
    named = ["--dataset", "ja", "--tokenizer", "byte", "--name", "byte", "--run", run]
    config = ROOT / "configs" / "tiny.py"
    return ["train", config, *f"{SHAPE} {BRIEF} {SPARSE}".split(), *places, *named]


def prepare(command, bucket, text):
    data = bucket / "data" / "ja"
    built = command("corpus", "build", text, "--out", data, "--test-share", 0.05, "--json").json()
    tokenizer = bucket / "tokenizers" / "byte"
    made = command("tokenizer", "train", "--kind", "byte", "--out", tokenizer, "--json").json()
    return built, made


def losses(run):
    return [row["loss"] for row in runs.metrics(run) if row["kind"] == "train"]


def undo_step_4(run):
    integrity.remove(run / runs.CHECKPOINTS, 4)


def test_the_walk(command, bucket, text, tmp_path):
    dataset, tokenizer = prepare(command, bucket, text)
    data, run = bucket / "data" / "ja", bucket / "runs" / "byte"
    assert manifest.verify(data, kind="dataset").fingerprint == dataset["fingerprint"]
    trained = command(*training(bucket, run))
    assert trained.exit_code == 0, trained.err
    store = manifest.verify(data / "tokens" / "byte", kind="tokens")
    assert store.parents == {
        "dataset": dataset["fingerprint"],
        "tokenizer": tokenizer["fingerprint"],
    }
    record = manifest.read(run, kind="run")
    assert record.parents["tokens"] == store.fingerprint
    assert len(losses(run)) == 4
    assert losses(run)[0] == pytest.approx(math.log(257), abs=0.2)
    assert [row["event"] for row in runs.events(run)] == ["start", "stop"]
    assert storage.files(run / "tensorboard")

    whole = losses(run)
    undo_step_4(run)
    shutil.rmtree(storage.cache_folder() / "copies")  # another machine
    resumed = command(*training(bucket, run))
    assert resumed.exit_code == 0, resumed.err
    assert "going on from step 2" in resumed.err
    assert losses(run) == whole
    assert "is complete at step 4" in command(*training(bucket, run)).err

    evaluated = command("evaluate", run, "--dataset", data, "--json").json()
    assert json.loads((run / runs.EVALUATION).read_text("utf-8")) == evaluated
    (sample,) = command("generate", run, "--prompt", "港", "--max-tokens", 4, "--json").json()
    assert sample["model"] == record.fingerprint
    described = command("inspect", run, "--json").json()
    assert described["checkpoints"] == [2, 4]
    assert described["fingerprint"] == record.fingerprint
    measured = command("tokenizer", "measure", bucket / "tokenizers" / "byte", "--dataset", data)
    assert measured.exit_code == 0, measured.err
    assert not list(tmp_path.glob("*gs:*"))
    assert not (ROOT / "gs:").exists()

    refused = command(*training(bucket, run), "--seed", 5)
    assert refused.exit_code == 2
    assert f"{run} holds a run with another config (seed: 0 -> 5)" in refused.err
    assert_damage_ends_the_commands(command, bucket, data, run)


def assert_damage_ends_the_commands(command, bucket, data, run):
    for file, arguments in (
        (data / "tokens" / "byte" / "train-00000-of-00001.tokens", training(bucket, run)),
        (data / "features.json", ["evaluate", run, "--dataset", data]),
        (run / runs.CONFIG, ["generate", run, "--prompt", "港"]),
        (bucket / "tokenizers" / "byte" / manifest.FILE_NAME, training(bucket, run)),
    ):
        before = file.read_bytes()
        storage.write_bytes(file, before[:-3] + b"\x00\x00\x00")
        storage.remove_tree(storage.cache_folder() / "copies")
        damaged = command(*arguments)
        assert damaged.exit_code == 3, f"{file}: {damaged.err}"
        assert str(file) in damaged.err
        storage.write_bytes(file, before)
    assert command("evaluate", run, "--dataset", data).exit_code == 0
    (copy,) = (storage.cache_folder() / "copies").iterdir()
    for name in ("features.json", "documents-test.array_record-00000"):
        content = bytearray((copy / name).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / name).write_bytes(content)
        damaged = command("evaluate", run, "--dataset", data)
        assert damaged.exit_code == 3, damaged.err
        assert f"{copy / name} does not match its SHA-256" in damaged.err
        (copy / name).unlink()  # then it comes again
    assert command("evaluate", run, "--dataset", data).exit_code == 0


@pytest.mark.slow
def test_two_processes_save_and_one_goes_on(command, bucket, text):
    prepare(command, bucket, text)
    run = bucket / "runs" / "byte"
    given = [str(argument) for argument in training(bucket, run)]
    launch = [sys.executable, "-m", "jgpt2", "launch", "local", "--processes", "2"]
    launched = subprocess.run(
        [*launch, "--devices", "2", "--", *given],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    assert launched.returncode == 0, launched.stderr
    assert runs.events(run)[0]["processes"] == 2
    files = storage.files(run / runs.CHECKPOINTS / "2")
    assert any("process_1" in file for file in files), files
    by_two = losses(run)
    undo_step_4(run)
    alone = command(*training(bucket, run))
    assert alone.exit_code == 0, alone.err
    assert "going on from step 2" in alone.err
    assert losses(run)[:2] == by_two[:2]
    assert losses(run) == pytest.approx(by_two, rel=1e-6)
    assert command("inspect", run, "--json").json()["checkpoints"] == [2, 4]
