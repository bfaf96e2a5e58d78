"""The run: what it leaves, and that stopping it anywhere changes nothing."""

import dataclasses
import itertools
import json
import shutil
import signal
import time

import jax
import numpy as np
import pytest

from jgpt2 import checkpoint, integrity, manifest, runs
from jgpt2.data import loader
from jgpt2.errors import DamageError, InputError
from jgpt2.train import inputs, loop, setup, stop
from jgpt2.train.log import RunLog

TIMINGS = {"step_time_s", "data_wait_s", "tokens_per_s", "mfu", "evaluation_time_s"}
EVALUATED = [3, 6, 9, 12, 14]  # of 14 steps, every third and the last


def go_until(num_steps, trainer, gathered, run):
    """Trains until a stop is asked for during the n-th step from here on; 0: to the end."""
    request = stop.StopRequest()
    numbers = itertools.count(1)

    def take(*arguments):
        if next(numbers) == num_steps:
            request.ask(130)
        return trainer.program.step(*arguments)

    take.lower = trainer.program.step.lower
    counted = dataclasses.replace(trainer, program=dataclasses.replace(trainer.program, step=take))
    return loop.execute(counted, gathered, run, request)


@pytest.fixture
def go(trainer, gathered, tmp_path):
    """go(stop_after=None): trains in this test's run folder, from where it is."""

    def gone(stop_after=0, trainer=trainer):
        return go_until(stop_after, trainer, gathered, tmp_path / "run")

    return gone


@pytest.fixture(scope="module")
def whole(trainer, gathered, tmp_path_factory):
    """The run folder of a run that nothing interrupted."""
    run = tmp_path_factory.mktemp("one go") / "run"
    assert loop.execute(trainer, gathered, run, stop.StopRequest()) == 0
    return run


def rows_of(run):
    """metrics.jsonl without what depends on the clock, keys in order."""
    rows = []
    for line in (run / runs.METRICS).read_text("utf-8").splitlines():
        row = json.loads(line)
        if row["kind"] == "goodput":  # of each process life its own
            continue
        assert set(row) & TIMINGS
        rows.append({key: value for key, value in row.items() if key not in TIMINGS})
    return [json.dumps(row) for row in rows]


def final_state(trainer, run):
    state = checkpoint.restore(run / runs.CHECKPOINTS, 14, trainer.program.abstract_state)
    return jax.tree.map(np.asarray, state)


def assert_same_run(trainer, run, whole):
    """Parameters, optimizer state and metrics are those of the run that nothing interrupted."""
    assert rows_of(run) == rows_of(whole)
    found, expected = final_state(trainer, run), final_state(trainer, whole)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert ours.tobytes() == theirs.tobytes()


def steps_of(run):
    return integrity.steps(run / runs.CHECKPOINTS)


def test_a_run_logs_every_step_evaluates_and_saves(whole, gathered):
    rows = runs.metrics(whole)
    order = [(row["kind"], row["step"]) for row in rows if row["kind"] != "goodput"]
    expected = []
    for step in range(1, 15):
        expected += [("train", step)] + [("evaluation", step)] * (step in EVALUATED)
    assert order == expected
    train = [row for row in rows if row["kind"] == "train"]
    assert train[-1]["tokens"] == 14 * 8 * 16
    num_bytes = [round(row["loss"] * 8 * 16 / np.log(2) / row["bpb"]) for row in train]
    assert [row["bytes"] for row in train] == np.cumsum(num_bytes).tolist()
    assert train[-1]["loss"] < train[0]["loss"]
    assert train[-1]["flops"] == 14 * train[0]["flops"]
    assert train[-1]["lr"] == pytest.approx(3e-4)
    assert all(row["mfu"] is None for row in train)  # nobody states the peak of a CPU
    evaluations = [row for row in rows if row["kind"] == "evaluation"]
    bits = [row["bits_per_byte"] for row in evaluations]
    assert bits == sorted(bits, reverse=True)
    assert evaluations[0]["num_bytes"] <= 300
    assert evaluations[0]["num_documents"] == len(gathered.validation)
    assert steps_of(whole) == [12, 14]  # two are kept, and the last is the best too
    assert integrity.best_step(whole / runs.CHECKPOINTS) == 14


def test_a_complete_run_is_left_alone(whole, go, tmp_path, capsys, trainer, gathered):
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    assert loop.execute(trainer, gathered, whole, stop.StopRequest()) == 0
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before
    assert f"小さな実験: {whole} is complete at step 14" in capsys.readouterr().err


def test_a_run_stopped_at_many_steps_is_the_same_run(trainer, whole, go, tmp_path, capsys):
    run, reached = tmp_path / "run", 0
    # Plain; evaluated; just after that; saved and evaluated; plain; evaluated; the last but one.
    for step in (2, 3, 4, 6, 8, 9, 13):
        assert go(stop_after=step - reached) == 130
        reached = step
        assert steps_of(run)[-1] == step
        assert rows_of(run) == rows_of(whole)[: len(rows_of(run))]
        assert len(steps_of(run)) <= 3
        said = capsys.readouterr().err
        assert f"小さな実験: saved step {step}; run the same command to go on" in said
        assert ("going on from step" in said) == (step > 2)
    assert go() == 0
    assert_same_run(trainer, run, whole)
    assert trainer.program.step._cache_size() == 1


@pytest.fixture(scope="module")
def mixed(change, places):
    """The inputs and the trainer of a run on two datasets."""
    experiment = change(dataset={"stories": 1, "poems": 3})
    mixed_inputs = inputs.gather(experiment, places)
    return mixed_inputs, setup.prepare(experiment, mixed_inputs)


def test_a_run_on_a_mixture_stopped_and_resumed_is_the_same_run(mixed, tmp_path, capsys):
    mixed_inputs, mixed_trainer = mixed
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert loop.execute(mixed_trainer, mixed_inputs, whole, stop.StopRequest()) == 0
    said = capsys.readouterr().err
    facts = manifest.read(whole, kind="run").notes["datasets"]
    for name, share in (("poems", "75.0%"), ("stories", "25.0%")):
        times = f"{facts[name]['epochs']:.3g}"
        assert f"小さな実験: reads {name} {times} times in 14 steps ({share} of the bytes" in said
    for stop_after in (2, 5, 4):
        assert go_until(stop_after, mixed_trainer, mixed_inputs, run) == 130
    assert loop.execute(mixed_trainer, mixed_inputs, run, stop.StopRequest()) == 0
    assert_same_run(mixed_trainer, run, whole)

    rows = loader.batch(mixed_trainer.training, context=16, sequences=14 * 8, seed=0, step=0)
    num_bytes = mixed_inputs.tokenizer.token_bytes[rows[:, 1:]].sum()
    trained = [row for row in runs.metrics(run) if row["kind"] == "train"]
    assert trained[-1]["bytes"] == num_bytes
    assert sum(fact["rows"] for fact in facts.values()) == 14 * 8


def test_a_run_on_a_mixture_is_bound_to_every_store(mixed, tmp_path):
    mixed_inputs, mixed_trainer = mixed
    run = tmp_path / "run"
    assert go_until(1, mixed_trainer, mixed_inputs, run) == 130
    parents = manifest.read(run, kind="run").parents
    roles = [f"{kind} {name}" for kind in ("dataset", "tokens") for name in ("poems", "stories")]
    assert sorted(parents) == sorted([*roles, "tokenizer"])
    stores = mixed_inputs.stores
    swapped = dataclasses.replace(mixed_inputs, stores=stores | {"poems": stores["stories"]})
    with pytest.raises(InputError, match=f"{run} was trained on another dataset poems \\("):
        go_until(1, mixed_trainer, swapped, run)


def test_a_budget_in_bytes_is_met_by_a_mixture(mixed, change):
    mixed_inputs, _ = mixed
    budget = {"steps": None, "num_bytes": 20_000}
    experiment = change(dataset={"stories": 1, "poems": 3}, budget=budget)
    made = setup.prepare(experiment, mixed_inputs)
    rows = loader.batch(made.training, context=16, sequences=8 * made.num_steps, seed=0, step=0)
    num_bytes = mixed_inputs.tokenizer.token_bytes[rows[:, 1:]].sum()
    assert abs(num_bytes - 20_000) < 300


def test_a_stop_asked_for_at_the_last_step_leaves_its_evaluation(trainer, go, tmp_path, whole):
    assert go(stop_after=14) == 130
    assert json.loads(rows_of(tmp_path / "run")[-1])["kind"] == "train"
    assert go() == 0
    assert integrity.read(tmp_path / "run" / runs.CHECKPOINTS, 14).bits_per_byte < 10
    assert steps_of(tmp_path / "run") == [12, 14]
    assert_same_run(trainer, tmp_path / "run", whole)


def test_signals_end_the_run_with_their_exit_codes(trainer, gathered, tmp_path, monkeypatch, whole):
    logged = RunLog.train

    def raising(log, row):
        logged(log, row)
        if row["step"] in asked:
            signal.raise_signal(asked.pop(row["step"]))
            while request._stop_at is None:  # a thread hears it
                time.sleep(0.001)

    monkeypatch.setattr(RunLog, "train", raising)
    # At 3 and at 14 the evaluation that was due is given up, and made up for by the next start.
    asked = {3: signal.SIGTERM, 7: signal.SIGINT, 14: signal.SIGTERM}
    for exit_code, step in ((42, 3), (130, 8), (42, 14), (0, 14)):
        with stop.listening() as request:
            assert loop.execute(trainer, gathered, tmp_path / "run", request) == exit_code
        assert steps_of(tmp_path / "run")[-1] == step
    assert not asked
    assert_same_run(trainer, tmp_path / "run", whole)


class CrashError(Exception):
    pass


@pytest.mark.parametrize("step", [6, 12, 14])
def test_a_crash_between_evaluation_and_save(trainer, go, tmp_path, monkeypatch, whole, step):
    save = checkpoint.Checkpoints.save

    def crashing(checkpoints, at, *arguments, **named):
        if at == step:
            raise CrashError
        save(checkpoints, at, *arguments, **named)

    with monkeypatch.context() as patch, pytest.raises(CrashError):
        patch.setattr(checkpoint.Checkpoints, "save", crashing)
        go()
    assert runs.metrics(tmp_path / "run")[-1]["kind"] == "evaluation"
    assert runs.metrics(tmp_path / "run")[-1]["step"] == step
    assert step not in steps_of(tmp_path / "run")
    assert go() == 0
    assert_same_run(trainer, tmp_path / "run", whole)


@pytest.mark.parametrize("step", [6, 12])
def test_a_crash_between_save_and_the_next_step(trainer, go, tmp_path, monkeypatch, whole, step):
    poll = checkpoint.Checkpoints.poll

    def crashing(checkpoints):
        if checkpoints._saving and checkpoints._saving[0] == step:
            raise CrashError
        poll(checkpoints)

    with monkeypatch.context() as patch, pytest.raises(CrashError):
        patch.setattr(checkpoint.Checkpoints, "poll", crashing)
        go()
    assert steps_of(tmp_path / "run")[-1] == step  # a save that had begun is finished first
    assert go() == 0
    assert_same_run(trainer, tmp_path / "run", whole)


def test_a_kill_during_a_save(trainer, go, tmp_path, whole):
    run = tmp_path / "run"
    for step in (6, 8):
        assert go(stop_after=step - max(steps_of(run), default=0)) == 130
    # What a kill leaves: a folder without a record, another only begun, and lines that go further.
    folder = run / runs.CHECKPOINTS
    (folder / "8.json").unlink()
    shutil.copytree(folder / "8", folder / "9.orbax-checkpoint-tmp")
    with (run / runs.METRICS).open("a") as file:
        file.write(json.dumps({"kind": "train", "step": 9, "step_time_s": 1.0}) + '\n{"kind": "tr')
    assert steps_of(run) == [6]
    assert go() == 0
    assert_same_run(trainer, run, whole)
    assert sorted(path.name for path in folder.iterdir()) == ["12", "12.json", "14", "14.json"]


def test_a_kill_before_the_first_checkpoint(trainer, go, tmp_path, whole):
    run = tmp_path / "run"
    assert go(stop_after=3) == 130
    (run / runs.CHECKPOINTS / "3.json").unlink()
    assert go() == 0
    assert_same_run(trainer, run, whole)


def test_the_time_of_a_step_is_without_evaluation_and_save(trainer, go, tmp_path, monkeypatch):
    passed_s, clock, save = 0, time.perf_counter, checkpoint.Checkpoints.save

    def slow(*arguments, **named):
        nonlocal passed_s
        save(*arguments, **named)
        passed_s += 1000

    monkeypatch.setattr(time, "perf_counter", lambda: clock() + passed_s)
    monkeypatch.setattr(checkpoint.Checkpoints, "save", slow)
    assert go(stop_after=8) == 130
    times = [row["step_time_s"] for row in runs.metrics(tmp_path / "run") if row["kind"] == "train"]
    assert max(times) < 1000


def test_another_config_is_refused_before_anything_is_touched(trainer, gathered, whole, change):
    other = dataclasses.replace(trainer, experiment=change(optimizer={"peak_lr": 1e-3}))
    before = rows_of(whole)
    with pytest.raises(InputError, match=r"optimizer\.peak_lr: 0\.003 -> 0\.001"):
        loop.execute(other, gathered, whole, stop.StopRequest())
    assert rows_of(whole) == before


def test_a_damaged_checkpoint_is_set_aside_and_training_goes_on_from_the_one_before(
    trainer, go, tmp_path, whole, capsys
):
    run = tmp_path / "run"
    for stop_after in (6, 2):
        go(stop_after=stop_after)
    damaged = run / runs.CHECKPOINTS / "8" / "_CHECKPOINT_METADATA"
    damaged.write_text("{}")
    assert go() == 0
    assert_same_run(trainer, run, whole)
    said = capsys.readouterr().err
    assert f"{damaged} is damaged" in said
    assert f"Step 8 is set aside as {run / runs.CHECKPOINTS / '8.damaged'}." in said
    assert (run / runs.CHECKPOINTS / "8.damaged" / "_CHECKPOINT_METADATA").read_text() == "{}"
    (event,) = [row for row in runs.events(run) if row["event"] == "set aside"]
    assert "_CHECKPOINT_METADATA is damaged" in event["what"]


def test_a_damaged_checkpoint_is_refused_when_nothing_is_left_or_when_strict(
    trainer, gathered, go, tmp_path
):
    run = tmp_path / "run"
    go(stop_after=2)
    (run / runs.CHECKPOINTS / "2" / "_CHECKPOINT_METADATA").write_text("{}")
    strict = loop.Operation(strict=True)
    with pytest.raises(DamageError, match="_CHECKPOINT_METADATA is damaged"):
        loop.execute(trainer, gathered, run, stop.StopRequest(), operation=strict)
    assert steps_of(run) == [2]
    with pytest.raises(DamageError, match=r"_CHECKPOINT_METADATA is damaged.*No good step is left"):
        go()


def test_a_damaged_token_store_ends_the_run_and_names_the_file(trainer, gathered, tmp_path):
    store = gathered.stores["stories"]
    copied = shutil.copytree(store.folder, tmp_path / "store")
    damaged = next(copied.glob("train-*.tokens"))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    spoilt = dataclasses.replace(
        gathered, stores={"stories": dataclasses.replace(store, folder=copied)}
    )
    with pytest.raises(DamageError, match=f"{damaged} does not match its SHA-256"):
        loop.execute(trainer, spoilt, tmp_path / "run", stop.StopRequest())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": {"context": 10**6}},
            "the train split of stories has .* tokens, but one row takes context . 1 = 1000001; "
            "lower model.context",
        ),
        (
            {"mesh": {"data": 3}},
            "mesh.data=3 x mesh.fsdp=1 x mesh.tensor=1 does not make 8 devices",
        ),
        (
            {"mesh": {"tensor": 4}},
            "model.heads=2 does not divide over mesh.tensor=4; choose a divisor of 2",
        ),
        (
            {"mesh": {"fsdp": 8}, "model": {"embed_dim": 12}},
            "model.embed_dim = 12 does not divide over mesh.fsdp = 8; choose a multiple of 8",
        ),
        (
            {"batch": {"sequences": 12}},
            "batch rows = 12 does not divide over mesh.data x mesh.fsdp = 8",
        ),
        (
            {"batch": {"sequences": 16, "accumulation": 4}},
            "batch rows = 4 does not divide over mesh.data x mesh.fsdp = 8",
        ),
    ],
)
def test_what_cannot_run_is_refused_before_anything_goes_to_a_device(
    gathered, change, tmp_path, changes, message
):
    guard = jax.transfer_guard("disallow_explicit")
    with guard, pytest.raises(InputError, match=message):
        loop.train(change(**changes), gathered, tmp_path / "run")
    assert not (tmp_path / "run").exists()
