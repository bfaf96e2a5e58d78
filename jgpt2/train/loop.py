"""Training from a config to a run folder: open, resume, step, evaluate, save, stop.

Everything that can be refused is refused before the first device call (`jgpt2.train.setup`). The
step is traced first, then compiled in a thread while the state is made and the first rows are read:
a thread that traces would take turns at the interpreter's lock with all of them. All processes of a
run go through this file side by side; process 0 writes what is written once.
"""

from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path

import jax

from jgpt2 import checkpoint, config, manifest, runs
from jgpt2.errors import InputError
from jgpt2.processes import Group
from jgpt2.train import policy, setup, start
from jgpt2.train.activity import Activity
from jgpt2.train.events import REWIND, Events
from jgpt2.train.goodput import Ledger
from jgpt2.train.leg import Leg
from jgpt2.train.opened import OpenRun
from jgpt2.train.operation import Operation
from jgpt2.train.step import TrainState
from jgpt2.train.stop import StopRequest, listening
from jgpt2.train.watchdog import Watchdog


def train(
    experiment: config.Experiment,
    inputs: setup.Inputs,
    run: Path,
    *,
    group: Group | None = None,
    operation: Operation | None = None,
    activity: Activity | None = None,
) -> int:
    """Trains to the end of the budget, or until a signal; returns the exit code.

    0 when the run is complete; 130 after Ctrl-C and 42 after SIGTERM, with the state saved. Called
    again with the same arguments it goes on from the last checkpoint, bit for bit on CPU. A process
    that only trains gives its `activity` since its start, else it begins here.
    """
    activity = activity or Activity(age_s=0.0)
    trainer = setup.prepare(experiment, inputs)
    with listening(group) as stop:
        return execute(
            trainer, inputs, run, stop, group=group, operation=operation, activity=activity
        )


def execute(
    trainer: setup.Trainer,
    inputs: setup.Inputs,
    run: Path,
    stop: StopRequest,
    *,
    group: Group | None = None,
    operation: Operation | None = None,
    activity: Activity | None = None,
) -> int:
    """Makes or finds the run folder, and trains to the end or to the poll where `stop` is set."""
    activity = activity or Activity(age_s=0.0)
    opened = OpenRun(
        trainer,
        inputs,
        run,
        stop,
        group or Group(),
        operation or Operation(),
        activity,
        Ledger(activity),
    )
    _create(opened)
    watchdog = Watchdog(
        opened.activity,
        floor_s=opened.operation.step_limit_s,
        allowance_s=opened.operation.pause_limit_s,
        describe=f"process {opened.group.index} of {opened.group.count}",
    )
    with jax.set_mesh(trainer.program.mesh), watchdog:
        return _go_on(opened)


def _create(run: OpenRun) -> None:
    """The run folder: made by process 0, then compared with the others' config and data."""
    for is_turn in (run.group.is_first, not run.group.is_first):
        if is_turn:
            runs.create(
                run.folder,
                run.settings,
                tokenizer=run.inputs.tokenizer_folder,
                parents=run.inputs.parents,
                notes={"datasets": run.trainer.describe_training()},
            )
        run.group.barrier("run folder")


def _go_on(run: OpenRun) -> int:
    """Restores and advances; again from an earlier step whenever the loss policy says so."""
    if run.group.from_first("complete", runs.is_complete(run.folder, run.trainer.num_steps)):
        run.say(f"{run.folder} is complete at step {run.trainer.num_steps}")
        return 0
    events = Events(run.folder, run.group)
    events.add("start", processes=run.group.count, code_version=manifest.code_version())
    with (
        _open_checkpoints(run) as checkpoints,
        _in_background("compile", run.trainer.program.lower().compile) as compiled,
        _in_background("verify", lambda: _verify_data(run)) as verified,
    ):
        checkpoints.require_space(run.trainer.program.abstract_state)
        upto = None
        while True:
            first_step, state = _restore(run, events, upto)
            try:
                leg = Leg(run, checkpoints, events, first_step, state)
                exit_code = leg.go(compiled, verified)
            except policy.WrongLossError as wrong:
                upto = _rewind(run, checkpoints, events, wrong)
            else:
                events.add("stop", exit_code=exit_code)
                return exit_code


def _open_checkpoints(run: OpenRun) -> checkpoint.Checkpoints:
    return checkpoint.Checkpoints(
        run.checkpoints,
        keep_last=run.settings.checkpoint.keep_last,
        fingerprints=run.fingerprints,
        group=run.group,
    )


@contextmanager
def _in_background[Made](name: str, work: Callable[[], Made]) -> Iterator[futures.Future[Made]]:
    """Work on its way in a thread.

    Whoever leaves before it is done does not wait: it ends with the process.
    """
    worker = futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
    try:
        yield worker.submit(work)
    finally:
        worker.shutdown(wait=False)


def _verify_data(run: OpenRun) -> None:
    """Hashes the token stores, each process a share of their files: DamageError names one."""
    for store in run.inputs.stores.values():
        manifest.verify(store.folder, kind="tokens", part=run.group.index, parts=run.group.count)


def _restore(run: OpenRun, events: Events, upto: int | None) -> tuple[int, TrainState]:
    """The newest good step, `upto` one at most, and its state; or the start of the run."""

    def told(damage: str) -> None:
        events.add("set aside", what=damage)
        run.say(damage)

    with run.activity.during("restore"):
        found = checkpoint.restore_newest(
            run.checkpoints,
            run.trainer.program.abstract_state,
            fingerprints=run.fingerprints,
            upto=upto,
            strict=run.operation.strict,
            group=run.group,
            say=told,
        )
        if found is not None:
            run.say(f"going on from step {found[0]} of {run.folder}")
            return found
    if upto is None:
        _say_what_is_read(run)
    with run.activity.during("init"):
        if run.inputs.start is None:
            return 0, run.trainer.program.initialise()
        return 0, run.trainer.program.begin(start.load(run.inputs.start, run.settings))


def _say_what_is_read(run: OpenRun) -> None:
    for name, facts in run.trainer.describe_training().items():
        run.say(
            f"reads {name} {facts['epochs']:.3g} times in {run.trainer.num_steps} steps "
            f"({facts['byte_share']:.1%} of the bytes, {facts['row_share']:.1%} of the rows)"
        )


def _rewind(
    run: OpenRun, checkpoints: checkpoint.Checkpoints, events: Events, wrong: policy.WrongLossError
) -> int:
    """Leaves out the batches that led to a wrong loss; the step that training goes back to at most.

    Raises InputError where the policy is to stop, or has acted as often as it may.
    """
    settings = run.settings.loss_policy
    if settings.action != "rewind" or events.num_wrong >= settings.limit:
        events.add("stop", exit_code=InputError.exit_code, what=str(wrong))
        raise InputError(
            f"{wrong} (the loss policy has acted {events.num_wrong} times); lower "
            "optimizer.peak_lr or lengthen schedule.warmup, in another --run folder. The last "
            "checkpoint here is from before this step."
        )
    upto = max(wrong.step - settings.batches, 0)
    left_out = events.batches_left_out
    batches = sorted(policy.batch_of(step, left_out) for step in range(upto, wrong.step))
    checkpoints.rewind(upto)  # first: a kill in between finds the same wrong loss once more
    events.add(REWIND, step=wrong.step, upto=upto, batches=batches, what=wrong.what)
    run.say(f"{wrong}; going back to step {upto} at most, without batches {batches}")
    return upto
