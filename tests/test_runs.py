import dataclasses
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from jgpt2 import checkpoint, config, manifest, runs, storage
from jgpt2.errors import DamageError, InputError
from jgpt2.model import gpt2
from jgpt2.tokenizer import train as tokenizer_train
from jgpt2.train import step as train_step

EXPERIMENT = config.Experiment(
    name="試し",
    model=config.Model(layers=1, embed_dim=8, heads=2, context=4, compute_dtype="float32"),
    budget=config.Budget(steps=3),
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("語 彙") / "byte"
    tokenizer_train.train([], folder, name="byte", kind="byte")
    return folder


@pytest.fixture
def parents(tokenizer):
    fingerprint = manifest.read(tokenizer).fingerprint
    return {"dataset": "d" * 64, "tokenizer": fingerprint, "tokens": "t" * 64}


@pytest.fixture
def create(tokenizer, parents, tmp_path):
    def made(experiment=EXPERIMENT, parents=parents):
        runs.create(tmp_path / "run", experiment, tokenizer=tokenizer, parents=parents)
        return tmp_path / "run"

    return made


def snapshot(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_run_folder_says_what_it_is(create, parents, tokenizer):
    run = create()
    names = sorted(path.name for path in run.iterdir())
    assert names == ["config.json", "manifest.json", "tokenizer"]
    assert runs.read_config(run) == EXPERIMENT
    described = manifest.read(run, kind="run")
    assert (described.name, described.parents) == ("試し", parents)
    copied = {path.name: content for path, content in snapshot(run / runs.TOKENIZER).items()}
    assert copied == {path.name: content for path, content in snapshot(tokenizer).items()}


def test_the_same_run_is_found_again(create):
    run = create()
    before = snapshot(run)
    create()
    assert snapshot(run) == before


def test_an_empty_folder_will_do(create, tmp_path):
    (tmp_path / "run").mkdir()
    assert manifest.exists(create())


def test_another_config_is_refused_with_every_difference(create):
    run = create()
    other = dataclasses.replace(
        EXPERIMENT,
        seed=1,
        model=dataclasses.replace(EXPERIMENT.model, layers=2),
        budget=config.Budget(tokens=5),
    )
    with pytest.raises(InputError) as refused:
        create(other)
    assert str(refused.value) == (
        f"{run} holds a run with another config (seed: 0 -> 1, model.layers: 1 -> 2, "
        "budget.steps: 3 -> None, budget.tokens: None -> 5); give another --run folder, or the "
        "recorded config to go on."
    )


@pytest.mark.parametrize("role", ["dataset", "tokenizer", "tokens"])
def test_another_parent_is_refused_by_name(create, parents, role):
    run = create()
    with pytest.raises(InputError) as refused:
        create(parents=parents | {role: "f" * 64})
    assert str(refused.value) == (
        f"{run} was trained on another {role} (fingerprint {parents[role][:12]}, given "
        f"ffffffffffff); give the {role} it was trained on, or another --run folder."
    )


def test_a_folder_of_something_else_is_refused_and_left_as_it_is(create, tmp_path, tokenizer):
    run = tmp_path / "run"
    shutil.copytree(tokenizer, run / runs.TOKENIZER)  # what a run has too, but somebody's own
    (run / "config.json").write_text("{}")
    before = snapshot(run)
    with pytest.raises(InputError) as refused:
        create()
    assert str(refused.value) == (
        f"{run} is not a run folder but holds config.json, tokenizer; give --run a folder that is "
        "empty or does not exist."
    )
    assert snapshot(run) == before


def test_a_run_without_its_manifest_is_damage_and_named(create):
    run = create()
    (run / runs.METRICS).write_text("")
    (run / manifest.FILE_NAME).unlink()
    before = snapshot(run)
    with pytest.raises(DamageError) as refused:
        create()
    assert str(refused.value) == (
        f"{run / 'manifest.json'} is missing, though {run} holds a run; restore it, or give "
        "another --run folder."
    )
    assert snapshot(run) == before


def test_a_file_in_place_of_the_folder_is_refused(create, tmp_path):
    (tmp_path / "run").write_text("文章")
    with pytest.raises(InputError, match="run is a file; give --run a folder"):
        create()


class KillError(BaseException):
    pass


@pytest.mark.parametrize("moment", range(9))
def test_a_creation_that_was_killed_is_completed_the_next_time(create, monkeypatch, moment):
    whole = create()
    expected = sorted(path.relative_to(whole) for path in snapshot(whole))
    shutil.rmtree(whole)
    calls = 0

    def killed_at(original):
        def wrapped(*arguments, **named):
            nonlocal calls
            calls += 1
            if calls > moment:
                raise KillError
            return original(*arguments, **named)

        return wrapped

    with monkeypatch.context() as patch, pytest.raises(KillError):
        # Everything that changes the disk, and the clean-up, which a kill would not do.
        for name in ("write_bytes", "replace"):
            patch.setattr(storage.Path, name, killed_at(getattr(storage.Path, name)))
        patch.setattr(storage.shutil, "rmtree", lambda *arguments, **named: None)
        patch.setattr(storage.Path, "unlink", lambda *arguments, **named: None)
        create()
    assert not manifest.exists(whole)
    create()
    assert sorted(path.relative_to(whole) for path in snapshot(whole)) == expected
    assert not (whole / ".creating").exists()


def test_a_creation_that_failed_leaves_nothing(create, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(storage.Path, "write_bytes", full)
        create()
    assert list((tmp_path / "run").iterdir()) == []
    assert manifest.exists(create())


def test_what_is_no_run_is_refused(tmp_path, tokenizer):
    with pytest.raises(InputError, match="no finished run at"):
        runs.read_config(tmp_path)
    with pytest.raises(InputError, match="holds a tokenizer, not a run"):
        runs.read_config(tokenizer)


def test_a_config_that_was_changed_by_hand_is_damage(create):
    run = create()
    path = run / runs.CONFIG
    path.write_text(path.read_text("utf-8").replace('"layers": 1', '"layers": 2'), "utf-8")
    with pytest.raises(DamageError, match=r"config\.json does not match its SHA-256"):
        runs.read_config(run)
    with pytest.raises(DamageError):
        create()


def test_metrics_leave_out_an_unfinished_line(tmp_path):
    assert runs.metrics(tmp_path) == []
    rows = [{"kind": "train", "step": 1}, {"kind": "train", "step": 2, "名": "名"}]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    for end, expected in ((0, 2), (-1, 1), (-4, 1), (-len(text), 0)):
        (tmp_path / runs.METRICS).write_bytes(text[: len(text) + end])
        assert runs.metrics(tmp_path) == rows[:expected]
    torn = text + '{"名'.encode()[:-1]  # in the middle of a character
    (tmp_path / runs.METRICS).write_bytes(torn)
    assert runs.metrics(tmp_path) == rows


@pytest.mark.parametrize("line", [b"{", b"\xff"])
def test_metrics_with_a_broken_line_are_damage(tmp_path, line):
    (tmp_path / runs.METRICS).write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 2}\n')
    with pytest.raises(DamageError, match=r"metrics\.jsonl holds a line that is not JSON"):
        runs.metrics(tmp_path)


@pytest.fixture(scope="module")
def trained(tokenizer, tmp_path_factory):
    """A run with three checkpoints of which the second is the best, and their parameters."""
    run = tmp_path_factory.mktemp("runs") / "run"
    parents = {"tokenizer": manifest.read(tokenizer).fingerprint}
    runs.create(run, EXPERIMENT, tokenizer=tokenizer, parents=parents)
    _, abstract = gpt2.abstract(EXPERIMENT.model, 257)
    saved = {}
    with checkpoint.Checkpoints(run / runs.CHECKPOINTS, keep_last=3) as checkpoints:
        for step, bits in ((1, 4.0), (2, 3.0), (3, 3.5)):
            draw = jax.tree.map(lambda x, step=step: np.full(x.shape, step, x.dtype), abstract)
            saved[step] = draw
            state = train_step.TrainState(np.int32(step), draw, ({"mu": draw},))
            checkpoints.save(step, jax.device_put(state), bits_per_byte=bits)
    return run, saved


@pytest.mark.parametrize(
    ("step", "expected", "mesh"),
    [
        (None, 2, None),
        (1, 1, None),
        (3, 3, config.Mesh(data=2, fsdp=2, tensor=2)),
    ],
)
def test_a_model_opens_at_its_best_or_any_step_on_any_mesh(trained, step, expected, mesh):
    run, saved = trained
    model = runs.open_model(run, step=step, mesh=mesh)
    assert (model.step, model.shape) == (expected, EXPERIMENT.model)
    assert model.fingerprint == manifest.read(run).fingerprint
    assert model.tokenizer.vocab_size == 257
    jax.tree.map(np.testing.assert_array_equal, model.params, saved[expected])
    kernel = model.params["blocks"][0]["mlp"]["up"]["kernel"]
    parts = 1 if mesh is None else 4
    assert kernel.addressable_shards[0].data.size == kernel.size // parts
    assert len(kernel.sharding.device_set) == 8


def test_a_mesh_that_does_not_fit_is_refused(trained):
    run, _ = trained
    with pytest.raises(InputError, match="does not make 8 devices"):
        runs.open_model(run, mesh=config.Mesh(data=3))
    with pytest.raises(InputError, match=r"model\.heads=2 does not divide over mesh\.tensor=8"):
        runs.open_model(run, mesh=config.Mesh(tensor=8))


def test_an_unknown_step_lists_the_steps_there_are(trained):
    run, _ = trained
    with pytest.raises(InputError, match=r"no checkpoint of step 7 in .*; complete steps: 1, 2, 3"):
        runs.open_model(run, step=7)


def test_a_run_without_a_checkpoint_does_not_open(create):
    with pytest.raises(InputError) as refused:
        runs.open_model(create())
    assert str(refused.value).endswith("has no complete checkpoint; train it to its first one.")


def test_an_exchanged_tokenizer_is_damage(trained, tmp_path):
    run = shutil.copytree(trained[0], tmp_path / "run")
    shutil.rmtree(run / runs.TOKENIZER)
    shipped = Path(runs.__file__).parents[1] / "tokenizers" / "sp-8k"
    shutil.copytree(shipped, run / runs.TOKENIZER)
    with pytest.raises(DamageError) as refused:
        runs.open_model(run)
    given, wanted = (
        manifest.read(run / runs.TOKENIZER).fingerprint,
        manifest.read(run).parents["tokenizer"],
    )
    assert str(refused.value) == (
        f"{run / runs.TOKENIZER} has fingerprint {given[:12]}, but the run was trained with "
        f"{wanted[:12]}; restore that folder."
    )
