"""One run on several processes: the same run as on one, whoever saved and whoever goes on."""

import itertools
import json
import resource
import shutil
import signal
import threading
import time

import jax
import numpy as np
import pytest

from jgpt2 import checkpoint, configio, integrity, runs
from jgpt2.launch import local
from jgpt2.train import setup
from tests.conftest import QUICK

pytestmark = pytest.mark.slow

STEPS = 8
LAYOUTS = [(2, 2), (4, 1), (1, 4), (2, 4)]
"""Processes x devices of each."""


@pytest.fixture(scope="module")
def brief(change):
    return change(
        budget={"steps": STEPS},
        evaluation={"every_steps": 4},
        checkpoint={"every_steps": 4, "keep_last": 3},
    )


@pytest.fixture(scope="module")
def go(places, gathered, brief, tmp_path_factory):
    """go(layout, run, *flags, on_start=None): trains in `run` on processes of their own."""
    root = tmp_path_factory.mktemp("several 台")
    record = root / "config.json"
    record.write_text(configio.to_json(brief), "utf-8")
    own = {"XLA_FLAGS": QUICK, "JAX_COMPILATION_CACHE_DIR": str(root / "xla")}

    def gone(layout, run, *more, **named):
        processes, devices = layout
        arguments = ["train", record, "--run", run, "--processes.heartbeat-s", 10]
        arguments += ["--datasets", places.datasets, "--tokenizers", places.tokenizers]
        arguments += more
        return local.run(
            [str(argument) for argument in arguments],
            processes=processes,
            devices=devices,
            environment=own,
            **named,
        )

    return gone


@pytest.fixture(scope="module")
def trained(go, tmp_path_factory):
    """Layout -> the folder of a whole run on it."""
    root = tmp_path_factory.mktemp("whole")
    folders = {layout: root / f"{layout[0]}x{layout[1]}" for layout in LAYOUTS}
    for layout, run in folders.items():
        outcome = go(layout, run)
        assert (outcome.exit_code, len(outcome.attempts)) == (0, 1)
    return folders


def rows_of(run):
    return [row for row in runs.metrics(run) if row["kind"] == "train"]


def final_state(gathered, brief, run):
    abstract = setup.prepare(brief, gathered).program.abstract_state
    state = checkpoint.restore(run / runs.CHECKPOINTS, STEPS, abstract)
    return b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state))


def assert_same_losses(run, other):
    ours, theirs = ([row["loss"] for row in rows_of(folder)] for folder in (run, other))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_every_layout_trains_the_same_run(trained, go, gathered, brief, tmp_path):
    again = tmp_path / "again"
    assert go((2, 2), again).exit_code == 0
    assert final_state(gathered, brief, again) == final_state(gathered, brief, trained[2, 2])
    for run in trained.values():
        assert_same_losses(run, trained[2, 2])


def test_a_checkpoint_of_any_layout_goes_on_on_any_other_at_the_next_example(trained, go, tmp_path):
    for saved, other in itertools.pairwise([*LAYOUTS, LAYOUTS[0]]):
        run = shutil.copytree(trained[saved], tmp_path / f"{saved}-{other}")
        integrity.remove(run / runs.CHECKPOINTS, STEPS)
        assert go(other, run).exit_code == 0
        assert_same_losses(run, trained[saved])
        examples = [row["examples"] for row in rows_of(run)]
        assert examples == [[8 * step, 8 * step + 8] for step in range(STEPS)]
        starts = [row["processes"] for row in runs.events(run) if row["event"] == "start"]
        assert starts == [saved[0], other[0]]


def when_at_step(run, step, act):
    """A callback for a launch: acts on its first processes when the step is logged."""

    def on_start(processes, attempt):
        def watch():
            while not run.exists() or [row["step"] for row in rows_of(run)][-1:] < [step]:
                time.sleep(0.02)
            act(processes)

        if attempt == 0:
            threading.Thread(target=watch, daemon=True).start()

    return on_start


@pytest.mark.parametrize("index", [0, 1])
def test_sigterm_on_one_process_saves_the_same_step_on_all(
    trained, go, gathered, brief, tmp_path, index
):
    run = tmp_path / "run"
    ask = when_at_step(run, 1, lambda workers: workers[index].send_signal(signal.SIGTERM))
    outcome = go((2, 2), run, on_start=ask)
    assert outcome.attempts == [[42, 42], [0, 0]]
    assert final_state(gathered, brief, run) == final_state(gathered, brief, trained[2, 2])
    stopped = [row for row in runs.events(run) if row["event"] == "stop"]
    assert [row["exit_code"] for row in stopped] == [42, 0]


def test_a_full_disk_on_another_process_than_0_ends_all_at_once(go, tmp_path, capfd):
    run = tmp_path / "run"

    def fill(workers, attempt):  # no file of process 1 may grow beyond 4 kB, and its arrays do
        resource.prlimit(workers[1].pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

    # A process that waited for the others to save would stand still, and end with 134.
    outcome = go((2, 2), run, "--pause-limit-s", 60, on_start=fill)
    assert outcome.attempts == [[2, 2]]
    assert f"{run / runs.CHECKPOINTS}: File too large; free some space" in capfd.readouterr().err
    assert integrity.steps(run / runs.CHECKPOINTS) == []


def test_what_one_process_refuses_ends_all_of_them_with_its_code(
    go, trained, tmp_path, capfd, monkeypatch
):
    run = shutil.copytree(trained[2, 2], tmp_path / "run")
    integrity.remove(run / runs.CHECKPOINTS, STEPS)
    (run / runs.METRICS).write_text("{}")  # read by process 0 alone
    (run / runs.METRICS).write_text(json.dumps({"kind": "train", "step": 1}) + "\n")
    started_s = time.monotonic()
    outcome = go((2, 2), run)
    assert outcome.attempts == [[3, 3]]
    assert time.monotonic() - started_s < 60  # nobody waits for a heartbeat
    said = capfd.readouterr().err
    assert "process 0 of 2" in said and "metrics.jsonl ends before step 4" in said
    assert "leaving with 3: process 0 on" in said
