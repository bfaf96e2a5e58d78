"""What a run does about a loss that is no number, or that jumps."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgpt2 import checkpoint, config, integrity, runs
from jgpt2.data import loader
from jgpt2.errors import DamageError, InputError
from jgpt2.train import loop, policy, setup, stop


def spoilt(trainer, spoil):
    """The trainer, whose n-th step from here on is what `spoil(n, state, metrics)` makes of it."""
    numbers = itertools.count(1)

    def take(state, *given):
        after, metrics = trainer.program.step(state, *given)
        with jax.transfer_guard("allow"):
            return spoil(next(numbers), after, metrics)

    take.lower = trainer.program.step.lower
    return dataclasses.replace(trainer, program=dataclasses.replace(trainer.program, step=take))


def nan_at(*numbers):
    """Parameters and loss are no numbers at the steps of these numbers."""

    def spoil(number, state, metrics):
        if number not in numbers:
            return state, metrics
        params = jax.tree.map(lambda leaf: leaf * jnp.nan, state.params)
        return state._replace(params=params), metrics._replace(loss=jnp.full((), jnp.nan))

    return spoil


def with_policy(trainer, **fields):
    made = dataclasses.replace(trainer.experiment.loss_policy, **fields)
    return dataclasses.replace(
        trainer, experiment=dataclasses.replace(trainer.experiment, loss_policy=made)
    )


def go(trainer, gathered, run):
    return loop.execute(trainer, gathered, run, stop.StopRequest())


def params_of(trainer, run, step):
    state = checkpoint.restore(run / runs.CHECKPOINTS, step, trainer.program.abstract_state)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state.params)]


def assert_same_params(trainer, one, other):
    pairs = zip(params_of(trainer, one, 14), params_of(trainer, other, 14), strict=True)
    assert all(ours.tobytes() == theirs.tobytes() for ours, theirs in pairs)


@pytest.mark.parametrize(("bad", "back_to"), [(9, 6), (7, 0), (14, 12)])
def test_a_rewind_goes_back_to_a_good_step_without_the_batches(
    trainer, gathered, tmp_path, bad, back_to, capsys
):
    run = tmp_path / "run"
    assert go(spoilt(trainer, nan_at(bad)), gathered, run) == 0
    trained = [row for row in runs.metrics(run) if row["kind"] == "train"]
    assert [row["step"] for row in trained] == list(range(1, 15))
    batches = [row["examples"][0] // 8 for row in trained]
    assert batches == [b for b in range(16) if b not in (bad - 2, bad - 1)]
    (event,) = [row for row in runs.events(run) if row["event"] == "rewind"]
    assert (event["step"], event["upto"], event["batches"]) == (bad, bad - 2, [bad - 2, bad - 1])
    assert event["what"].startswith("the loss is nan and the gradient norm")
    said = capsys.readouterr().err
    assert f"at step {bad}; going back to step {bad - 2} at most, without batches" in said
    assert ("going on from step" in said) is (back_to > 0)
    assert all(np.isfinite(leaf).all() for leaf in params_of(trainer, run, 14))


def test_a_rewound_run_is_the_run_on_the_other_batches(trainer, gathered, tmp_path, monkeypatch):
    go(spoilt(trainer, nan_at(9)), gathered, tmp_path / "rewound")
    batches = loader.batches

    def without(*arguments, batch_of, **named):
        return batches(*arguments, batch_of=lambda step: step + 2 * (step >= 7), **named)

    monkeypatch.setattr(loader, "batches", without)
    go(trainer, gathered, tmp_path / "told")
    assert_same_params(trainer, tmp_path / "rewound", tmp_path / "told")


def test_a_rewound_run_goes_on_without_the_batches_after_a_restart(trainer, gathered, tmp_path):
    go(spoilt(trainer, nan_at(9)), gathered, tmp_path / "whole")
    request = stop.StopRequest()

    def spoil(number, state, metrics):
        if number == 13:  # four steps after the rewind to step 6
            request.ask(42)
        return nan_at(9)(number, state, metrics)

    run = tmp_path / "run"
    assert loop.execute(spoilt(trainer, spoil), gathered, run, request) == 42
    assert integrity.steps(run / runs.CHECKPOINTS)[-1] == 10
    assert go(trainer, gathered, run) == 0
    assert_same_params(trainer, tmp_path / "whole", run)


def test_a_rewind_sets_aside_what_was_saved_on_the_way_to_the_wrong_loss(
    trainer, gathered, tmp_path
):
    run = tmp_path / "run"
    go(spoilt(trainer, nan_at(7)), gathered, run)  # step 6 had been saved
    assert integrity.names_set_aside(run / runs.CHECKPOINTS) == ["6.rewound"]


def test_the_policy_acts_so_often_and_then_stops(trainer, gathered, tmp_path):
    run = tmp_path / "run"
    limited = with_policy(trainer, limit=2)
    with pytest.raises(InputError, match=r"nan .* \(the loss policy has acted 2 times\); lower"):
        go(spoilt(limited, nan_at(3, 4, 5, 6, 7, 8)), gathered, run)
    assert [row["event"] for row in runs.events(run)] == ["start", "rewind", "rewind", "stop"]
    assert integrity.steps(run / runs.CHECKPOINTS) == []


def test_a_policy_to_stop_stops_before_that_state_is_saved(trainer, gathered, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(InputError) as refused:
        go(spoilt(with_policy(trainer, action="stop"), nan_at(12)), gathered, run)
    assert str(refused.value).startswith("the loss is nan and the gradient norm ")
    assert str(refused.value).endswith(
        " at step 12 (the loss policy has acted 0 times); lower optimizer.peak_lr or lengthen "
        "schedule.warmup, in another --run folder. The last checkpoint here is from before this "
        "step."
    )
    assert integrity.steps(run / runs.CHECKPOINTS) == [6]
    assert runs.metrics(run)[-1]["step"] == 11


def test_a_gradient_that_is_no_number_is_wrong_though_its_loss_is_right(
    trainer, gathered, tmp_path
):
    def spoil(number, state, metrics):
        norm = jnp.full((), jnp.inf) if number == 6 else metrics.grad_norm
        return state, metrics._replace(grad_norm=norm)

    run = tmp_path / "run"
    with pytest.raises(InputError, match="the gradient norm inf at step 6"):
        go(spoilt(with_policy(trainer, action="stop"), spoil), gathered, run)
    assert integrity.steps(run / runs.CHECKPOINTS) == []


def test_a_skipped_step_moves_nothing_but_the_count(gathered, change, tmp_path):
    """The embedding of one token is no number, in one batch of rows that holds it."""
    skipping = setup.prepare(change(loss_policy=config.LossPolicy(action="skip")), gathered)
    program = skipping.program
    with jax.set_mesh(program.mesh):
        rows = program.place(np.arange(8 * 17).reshape(8, 17) % 256, program.abstract_rows)
        given = rows, skipping.token_bytes
        state = program.initialise()
        before = jax.tree.map(np.asarray, state)
        state, metrics = program.step(state, *given, program.place_limit(1.0))
        assert float(metrics.loss) > 1.0
        kept = jax.tree.map(np.asarray, state)
        assert int(kept.step) == 1
        same = jax.tree.map(np.array_equal, kept._replace(step=before.step), before)
        assert all(jax.tree.leaves(same))
        state, _ = program.step(state, *given, program.place_limit())
        moved = jax.tree.map(np.array_equal, jax.tree.map(np.asarray, state.params), before.params)
        assert not any(jax.tree.leaves(moved))


def test_a_run_that_skips_logs_it_and_ends_well(gathered, change, tmp_path):
    settings = config.LossPolicy(action="skip", spike=1e-6, window=1, limit=100)
    wild = {"peak_lr": 1.0, "epsilon": 1e-8}
    skipping = setup.prepare(change(loss_policy=settings, optimizer=wild), gathered)
    run = tmp_path / "run"
    assert go(skipping, gathered, run) == 0
    skipped = [row["step"] for row in runs.metrics(run) if row.get("is_skipped")]
    assert skipped and skipped[0] > 2  # the loss of step 1 is known from step 3 on
    events = [row for row in runs.events(run) if row["event"] == "skip"]
    assert [row["step"] for row in events] == skipped
    assert "above the" in events[0]["what"]


def test_the_limit_is_the_median_of_the_window_and_what_is_allowed_above_it():
    settings = config.LossPolicy(spike=0.5, window=3)
    watch = policy.LossWatch(settings, [])
    for step, loss in enumerate([9.0, 2.0, 5.0, 3.0, 100.0], start=1):
        watch.note(step, loss)
    assert watch.limit(4) == math.inf  # two losses are known
    assert watch.limit(5) == 5.5  # of 9, 2 and 5
    assert watch.limit(6) == 3.5  # of 2, 5 and 3
    resumed = policy.LossWatch(settings, [(2, 2.0), (3, 5.0), (4, 3.0), (5, 100.0)])
    assert resumed.limit(6) == 3.5
    off = policy.LossWatch(dataclasses.replace(settings, spike=None), [(1, 1.0)] * 9)
    assert off.limit(5) == math.inf


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"spike": 0.0}, "loss_policy.spike=0.0 is not positive; None heeds no jump."),
        ({"window": 0}, "loss_policy.window=0 is not positive; choose 1 or more."),
        ({"batches": 0}, "loss_policy.batches=0 is not positive; choose 1 or more."),
        ({"limit": -1}, "loss_policy.limit=-1 is negative; 0 stops the run at once."),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(fields, message):
    with pytest.raises(InputError) as refused:
        config.LossPolicy(**fields)
    assert str(refused.value) == message


def test_a_changed_event_is_damage_and_named(trainer, gathered, tmp_path):
    run = tmp_path / "run"
    go(spoilt(trainer, nan_at(9)), gathered, run)
    path = run / runs.EVENTS
    path.write_text(path.read_text("utf-8").replace("[7, 8]", "[7, 9]"), "utf-8")
    with pytest.raises(DamageError, match=r"line 2 of .*events\.jsonl was changed"):
        runs.events(run)
