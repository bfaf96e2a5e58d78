"""The walk from a page of text to generated text, through the command line alone."""

import json
import math
import os
import re
import shlex
import signal
import threading
import time

import pytest

from jgpt2 import config, manifest, quickstart, runs
from jgpt2.corpus import dataset
from jgpt2.data import tokens
from jgpt2.generate import stream
from jgpt2.tokenizer import load

VOCABULARIES = ("byte", "sp")


def test_the_dataset_holds_the_pages(walk):
    splits = {
        split: list(dataset.open_split(walk.root / "data" / "ja", split))
        for split in dataset.SPLITS
    }
    texts = [document.text for documents in splits.values() for document in documents]
    assert "港の朝は早い。\n船が戻る。" in texts
    written = [
        json.loads(line)["text"]
        for path in sorted((walk.root / "text").glob("*.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]
    assert sorted(texts) == sorted([*written, "港の朝は早い。\n船が戻る。"])
    notes = walk.answers["dataset"]["notes"]
    assert notes["num_bytes"] == sum(len(text.encode()) for text in texts)
    assert all(splits.values())


@pytest.mark.parametrize("name", VOCABULARIES)
def test_the_token_store_reads_back_as_the_dataset(walk, name):
    tokenizer = load.load(walk.root / "tokenizers" / name)
    store = tokens.open_store(
        walk.root / "data" / "ja" / "tokens" / name, tokenizer_fingerprint=tokenizer.fingerprint
    )
    documents = dataset.open_split(walk.root / "data" / "ja", "validation")
    stream = store.split("validation")
    ids = [stream.document(i) for i in range(stream.num_documents)]
    assert [tokenizer.decode(one[:-1]) for one in ids] == [document.text for document in documents]
    assert {int(one[-1]) for one in ids} == {tokenizer.eot}


@pytest.mark.parametrize("name", VOCABULARIES)
def test_the_run_learns_and_records_it(walk, name):
    folder = walk.root / "runs" / name
    rows = runs.metrics(folder)
    trained = [row for row in rows if row["kind"] == "train"]
    assert [row["step"] for row in trained] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in rows if row["kind"] == "evaluation"] == [3, 6]
    vocab_size = walk.answers[name]["identity"]["vocab_size"]
    assert trained[0]["loss"] == pytest.approx(math.log(vocab_size), abs=0.2)
    assert trained[-1]["loss"] < trained[0]["loss"] - 0.5
    record = manifest.read(folder, kind="run")
    assert record.parents["dataset"] == walk.answers["dataset"]["fingerprint"]
    assert record.parents["tokenizer"] == walk.answers[name]["fingerprint"]
    experiment = runs.read_config(folder)
    assert (experiment.model.embed_dim, experiment.budget.steps) == (32, 6)


def test_both_vocabularies_are_measured_by_the_same_bytes(walk):
    documents = list(dataset.open_split(walk.root / "data" / "ja", "test"))
    num_bytes = sum(len(document.text.encode()) for document in documents)
    num_tokens = set()
    for name in VOCABULARIES:
        answer = walk.answers[f"evaluation of {name}"]
        written = (walk.root / "runs" / name / "evaluation.json").read_text("utf-8")
        assert json.loads(written) == answer
        assert answer["num_bytes"] == answer["xz"]["num_bytes"] == num_bytes
        assert answer["num_documents"] == len(documents)
        assert sum(row["num_bytes"] for row in answer["by_source"].values()) == num_bytes
        assert answer["bits_per_byte"] == answer["bits"] / num_bytes
        assert answer["tokenizer"] == walk.answers[name]["fingerprint"]
        num_tokens.add(answer["num_tokens"])
    assert len(num_tokens) == 2, "the vocabularies differ in the thing under test"
    assert walk.answers["evaluation of byte"]["bits_per_byte"] < math.log2(257)


@pytest.mark.parametrize("name", VOCABULARIES)
def test_generated_text_is_labelled(walk, name):
    (sample,) = walk.answers[f"samples of {name}"]
    assert sample["synthetic"] is True
    assert sample["model"] == manifest.read(walk.root / "runs" / name).fingerprint
    assert sample["tokenizer"] == walk.answers[name]["fingerprint"]
    assert sample["prompt"] == "港の朝は、"
    assert sample["sampler"] == {"temperature": 1.0, "top_k": 20, "top_p": None}
    assert sample["finish"] in ("eot", "length")
    assert sample["text"] or sample["finish"] == "eot"


@pytest.fixture
def small_quickstart(monkeypatch):
    shape = config.Model(layers=1, embed_dim=32, heads=2, context=32, compute_dtype="float32")
    monkeypatch.setattr(quickstart, "MODEL", shape)
    monkeypatch.setattr(quickstart, "TRAINING_BYTES", 24_000)
    monkeypatch.setattr(quickstart, "BATCH_BYTES", 600)


def interrupt_when(path):
    """Sends Ctrl-C to this process as soon as the file is there."""

    def wait():
        while not path.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, daemon=True).start()


def test_a_quickstart_goes_on_after_ctrl_c(walk, command, tmp_path, small_quickstart):
    out = tmp_path / "早 わかり"
    asked = ["quickstart", "--out", out, "--vocab-size", 1500, "--text", walk.root / "text"]
    interrupt_when(out / "runs" / "byte" / "metrics.jsonl")
    stopped = command(*asked)
    assert stopped.exit_code == 130
    assert "the same command goes on from there" in stopped.err
    assert not (out / "report.html").exists()
    kept = manifest.read(out / "dataset").fingerprint

    done = command(*asked)
    assert done.exit_code == 0, done.err
    assert "going on from step" in done.err
    assert manifest.read(out / "dataset").fingerprint == kept
    verdict, *_ = done.out.splitlines()
    best, other = re.match(r"(\S+) の方が.*?(\w+) は", verdict).groups()
    assert {best, other} == {"byte", "sentencepiece"}
    check_equal_bytes(out)
    check_samples(out, done.out)
    check_report(out, verdict)
    check_commands(out, [walk.root / "text"], command)
    refused = command(*asked[:-1], walk.root / "text" / "letter.jsonl")
    assert refused.exit_code == 2
    assert "other text" in refused.err
    refused = command(*asked[:3], "--vocab-size", 1400, *asked[-2:])
    assert refused.exit_code == 2
    assert "--vocab-size 1500, not 1400" in refused.err


def check_equal_bytes(out):
    for name in quickstart.ARMS:
        trained = [row for row in runs.metrics(out / "runs" / name) if row["kind"] == "train"]
        assert [row["step"] for row in trained] == list(range(1, len(trained) + 1))
        assert trained[-1]["bytes"] == pytest.approx(quickstart.TRAINING_BYTES, rel=0.1)
    test = dataset.open_split(out / "dataset", "test")
    num_bytes = sum(len(document.text.encode()) for document in test)
    for name in quickstart.ARMS:
        evaluation = json.loads((out / "runs" / name / "evaluation.json").read_text("utf-8"))
        assert evaluation["num_bytes"] == num_bytes


def check_samples(out, said):
    for name in quickstart.ARMS:
        lines = (out / "runs" / name / "samples.jsonl").read_text("utf-8").splitlines()
        samples = [json.loads(line) for line in lines]
        assert [sample["prompt"] for sample in samples] == list(quickstart.PROMPTS)
        assert all(sample["synthetic"] is True for sample in samples)
    assert said.count("[synthetic]") == 2 * len(quickstart.PROMPTS)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", said)


def check_report(out, verdict):
    page = (out / "report.html").read_text("utf-8")
    assert verdict in page
    assert page.index(verdict) < page.index("<table") < page.index("<svg") < page.index("生成例")
    assert page.count("合成テキスト synthetic") == 2 * len(quickstart.PROMPTS)
    assert not re.search(r"<(script|link|iframe|img)\b|\bsrc=|@import|url\((?!#)", page)
    assert f"jgpt2 quickstart --out '{out}'" in page.replace("&#x27;", "'")


def check_commands(out, text, command):
    """The commands of the report make again what it shows."""
    lines = quickstart._commands(out, text, 1500)
    page = (out / "report.html").read_text("utf-8").replace("&#x27;", "'")
    assert "\n".join(lines) in page
    given = [shlex.split(line)[1:] for line in lines if "runs/byte" in line]
    train, evaluate, generate = (command(*arguments) for arguments in given)
    assert (train.exit_code, evaluate.exit_code) == (0, 0), train.err + evaluate.err
    samples = (out / "runs" / "byte" / "samples.jsonl").read_text("utf-8").splitlines()
    for line in samples:
        sample = json.loads(line)
        assert stream.neutralise(sample["prompt"] + sample["text"]) in generate.out
