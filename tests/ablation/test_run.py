"""A whole study by the command line, small enough for seconds, and what it refuses."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from jgpt2 import manifest, runs
from tests.conftest import QUICK

STUDY = """
from dataclasses import replace
from jgpt2.ablation.study import Study
from jgpt2.config import Budget, Evaluation, Experiment, Model, Optimizer

BASE = Experiment(
    name="base",
    dataset="ja",
    model=Model(layers=1, embed_dim=8, heads=2, context=16, compute_dtype="float32"),
    optimizer=Optimizer(peak_lr=0.01),
    budget=Budget(num_bytes=24_000),
    evaluation=Evaluation(max_bytes=1000),
)
arms = {name: replace(BASE, tokenizer=name) for name in ("byte", "sp")}
study = Study(
    name="小さな研究",
    reference="sp",
    controls=("iso_flop", "iso_byte"),
    seeds=(0, 1),
    batch_bytes=1024,
    batch_multiple=8,
    max_bytes=3000,
    prompts=("港の朝は",),
)
"""
TIMES = {"training_s", "generated_chars_per_s", "seconds"}


def without_times(value):
    if isinstance(value, dict):
        return {key: without_times(part) for key, part in value.items() if key not in TIMES}
    return [without_times(part) for part in value] if isinstance(value, list) else value


def given(walk, file, out, *more):
    places = ["--datasets", walk.root / "data", "--tokenizers", walk.root / "tokenizers"]
    return ["ablate", file, "--out", out, *places, *more]


@pytest.fixture(scope="module")
def author_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("計画") / "study.py"
    path.write_text(STUDY, "utf-8")
    return path


@pytest.fixture(scope="module")
def finished(walk, author_file, tmp_path_factory):
    from tests.conftest import run_command

    out = tmp_path_factory.mktemp("研究") / "結果 一"
    outcome = run_command(*given(walk, author_file, out))
    assert outcome.exit_code == 0, outcome.err
    return out


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"


def verdict(out):
    return json.loads((out / "verdict.json").read_text("utf-8"))


def test_every_run_has_a_row_and_equal_denominators(finished):
    rows = [json.loads(line) for line in (finished / "rows.jsonl").read_text("utf-8").splitlines()]
    keys = [(row["arm"], row["control"], row["seed"]) for row in rows]
    assert len(set(keys)) == len(rows) == 2 * 2 * 2
    assert all(row["bits_per_byte"] > 0 for row in rows)
    of_control = {
        control: {row["arm"]: row for row in rows if row["control"] == control}
        for control in ("iso_flop", "iso_byte")
    }
    flops = [row["flops"] for row in of_control["iso_flop"].values()]
    assert flops[0] == pytest.approx(flops[1], rel=0.05)
    seen = [row["num_bytes"] for row in of_control["iso_byte"].values()]
    assert seen[0] == pytest.approx(seen[1], rel=0.05)
    # The reference asks for the same run under both controls: it is trained once.
    assert len(list((finished / "runs").iterdir())) == 6
    by_control = {row["run"] for row in rows if row["arm"] == "sp"}
    assert len(by_control) == 2


def test_the_verdict_is_that_of_the_sums(finished):
    record = verdict(finished)
    arms = {row["arm"]: row for row in record["arms"] if row["control"] == "iso_flop"}
    own = {name: [] for name in arms}
    for folder in (finished / "runs").iterdir():
        measured = json.loads((folder / "measures.json").read_text("utf-8"))
        steps = runs.read_config(folder).budget.steps
        name = runs.read_config(folder).tokenizer
        if steps == arms[name]["steps"]:
            documents = measured["documents"]
            own[name].append(sum(documents["bits"]) / sum(documents["num_bytes"]))
    for name, row in arms.items():
        assert len(own[name]) == 2
        assert row["bits_per_byte"] == pytest.approx(sum(own[name]) / 2)
        assert row["low"] < row["bits_per_byte"] < row["high"]
    decision = record["decision"]
    assert decision["ranking"] == sorted(arms, key=lambda arm: arms[arm]["bits_per_byte"])
    assert decision["control"] == "iso_flop"
    assert record["prediction"]["reason"] == {"lacks": "bodies", "found": 1}
    assert record["evaluated"]["num_bytes"] <= 3000


def test_the_report_says_the_answer_first(finished):
    page = (finished / "report.html").read_text("utf-8")
    start = page[page.index("<h1>") :][:600]
    assert "小さな研究" in start
    assert "ビット/バイト" in start and "bits per byte" in start
    assert "合成 synthetic" in page
    assert "jgpt2 ablate" in page
    drawn = {path.name for path in (finished / "figures").iterdir()}
    of_body = {f"bits-by-{axis}-1x8.svg" for axis in ("flops", "bytes", "seconds")}
    assert drawn == {"bits-by-vocabulary.svg", *of_body}


def test_the_same_command_trains_nothing_and_says_the_same(command, walk, author_file, copy):
    before = {name: (copy / name).read_bytes() for name in ("verdict.json", "rows.jsonl")}
    page = (copy / "report.html").read_text("utf-8")
    again = command(*given(walk, author_file, copy))
    assert again.exit_code == 0, again.err
    assert "[run" not in again.err and "measuring" not in again.err
    assert {name: (copy / name).read_bytes() for name in before} == before
    # Of the page only the command differs: it names the folder.
    after = (copy / "report.html").read_text("utf-8").splitlines()
    differing = [line for line in after if line not in page.splitlines()]
    assert all("jgpt2 ablate" in line for line in differing)


def test_gather_names_what_is_not_finished(command, walk, author_file, copy):
    folder = next(path for path in sorted((copy / "runs").iterdir()) if "byte" in path.name)
    shutil.rmtree(folder)
    outcome = command(*given(walk, author_file, copy, "--gather"))
    assert outcome.exit_code == 2
    assert "1 of 8 runs are not finished (byte, iso_" in outcome.err


def test_an_unfinished_arm_does_not_count_as_finished(command, walk, author_file, copy):
    folder = next(path for path in sorted((copy / "runs").iterdir()) if "byte" in path.name)
    last = max(int(path.name) for path in (folder / "checkpoints").iterdir() if path.is_dir())
    shutil.rmtree(folder / "checkpoints" / str(last))
    (folder / "checkpoints" / f"{last}.json").unlink()
    outcome = command(*given(walk, author_file, copy, "--gather"))
    assert outcome.exit_code == 2 and "not finished (byte" in outcome.err


@pytest.mark.slow
def test_arms_are_trained_apart_and_gathered(command, walk, author_file, finished, tmp_path):
    outs = {name: tmp_path / name for name in ("byte", "sp")}
    for name, out in outs.items():
        outcome = command(*given(walk, author_file, out, "--only", name))
        assert outcome.exit_code == 0, outcome.err
        assert not (out / "verdict.json").exists()
    for folder in (outs["sp"] / "runs").iterdir():
        shutil.copytree(folder, outs["byte"] / "runs" / folder.name)
    outcome = command(*given(walk, author_file, outs["byte"], "--gather"))
    assert outcome.exit_code == 0, outcome.err
    assert without_times(verdict(outs["byte"])) == without_times(verdict(finished))


def test_another_plan_is_refused_by_name(command, walk, copy, tmp_path):
    other = tmp_path / "other.py"
    other.write_text(STUDY.replace("seeds=(0, 1)", "seeds=(0, 2)"), "utf-8")
    outcome = command(*given(walk, other, copy))
    assert outcome.exit_code == 2
    assert "study.seeds: [0, 1] -> [0, 2]" in outcome.err


def test_a_changed_tokenizer_under_the_same_name_is_refused(
    command, walk, author_file, copy, tmp_path
):
    root = tmp_path / "changed"
    shutil.copytree(walk.root / "tokenizers" / "byte", root / "byte")
    data = walk.root / "data" / "ja"
    learn = ["--dataset", data, "--vocab-size", 1501, "--out", root / "sp"]
    assert command("tokenizer", "train", *learn).exit_code == 0
    shutil.copytree(data, tmp_path / "data" / "ja", ignore=shutil.ignore_patterns("tokens"))
    places = ["--datasets", tmp_path / "data", "--tokenizers", root]
    outcome = command("ablate", author_file, "--out", copy, *places)
    assert outcome.exit_code == 2
    assert "tokenizers.sp: " in outcome.err


def test_a_run_that_was_copied_from_another_tokenizer_is_refused(command, walk, author_file, copy):
    folder = next(path for path in sorted((copy / "runs").iterdir()) if "sp" in path.name)
    described = manifest.read(folder, kind="run")
    parents = described.parents | {"tokenizer": "0" * 64}
    (folder / "manifest.json").unlink()
    manifest.write(
        folder,
        kind="run",
        name=described.name,
        identity=described.identity,
        parents=parents,
        files=list(described.files),
    )
    for more in ([], ["--gather"]):
        outcome = command(*given(walk, author_file, copy, *more))
        assert outcome.exit_code == 2
        assert f"{folder} was trained on another tokenizer (fingerprint 000000000000" in outcome.err


def test_measures_of_another_text_are_refused(command, walk, author_file, copy):
    folder = sorted((copy / "runs").iterdir())[-1]
    path = folder / "measures.json"
    record = json.loads(path.read_text("utf-8"))
    record["evaluated"]["num_documents"] += 1
    path.write_text(json.dumps(record), "utf-8")
    outcome = command(*given(walk, author_file, copy))
    assert outcome.exit_code == 2
    assert "was measured on another text" in outcome.err
    assert "num_documents: " in outcome.err


def test_an_unknown_arm_is_refused(command, walk, author_file, tmp_path):
    outcome = command(*given(walk, author_file, tmp_path / "o", "--only", "sp-9k"))
    assert outcome.exit_code == 2
    assert "--only sp-9k names no arm" in outcome.err


def test_training_some_arms_and_gathering_all_are_two_commands(
    walk, author_file, tmp_path, command
):
    outcome = command(*given(walk, author_file, tmp_path / "o", "--only", "sp", "--gather"))
    assert outcome.exit_code == 2
    assert "--only trains some arms and --gather trains none" in outcome.err
    assert not (tmp_path / "o").exists()


def test_a_dry_run_prints_the_costs_and_makes_nothing(command, walk, author_file, tmp_path):
    outcome = command(*given(walk, author_file, tmp_path / "o", "--dry-run", "--json"))
    costs = outcome.json()
    assert [(row["control"], row["arm"]) for row in costs["rows"]] == [
        (control, arm) for control in ("iso_flop", "iso_byte") for arm in ("byte", "sp")
    ]
    assert costs["num_runs"] == 6
    assert not (tmp_path / "o").exists()
    table = command(*given(walk, author_file, tmp_path / "o", "--dry-run", "--tpu", "v5e-4"))
    assert "on v5e-4 if 40%" in table.out
    refused = command(*given(walk, author_file, tmp_path / "o", "--dry-run", "--tpu", "abacus"))
    assert refused.exit_code == 2 and "abacus is no TPU that is known" in refused.err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_study_that_was_cut_ends_in_the_same_report(walk, author_file, tmp_path, number):
    command = [sys.executable, "-m", "jgpt2"]
    own = {"XLA_FLAGS": QUICK, "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "xla")}
    named = {"env": os.environ | own, "stderr": subprocess.PIPE, "text": True}

    def called(out):
        return [*command, *map(str, given(walk, author_file, out))]

    whole = subprocess.run(called(tmp_path / "whole"), check=False, **named)
    assert whole.returncode == 0, whole.stderr
    out, draw = tmp_path / "cut", random.Random(int(number))
    with subprocess.Popen(called(out), **named) as process:
        while len(list(out.glob("runs/*/metrics.jsonl"))) < draw.choice([2, 3, 5]):
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(draw.random() * 0.5)
        process.send_signal(number)
        process.stderr.read()
    assert process.returncode == (42 if number == signal.SIGTERM else -9)
    again = subprocess.run(called(out), check=False, **named)
    assert again.returncode == 0, again.stderr
    assert without_times(verdict(out)) == without_times(verdict(tmp_path / "whole"))
