"""One leg of a run: from a state on to the last step, to a stop, or to a wrong loss."""

from concurrent import futures
from typing import Any

import jax

from jgpt2 import checkpoint, config
from jgpt2.errors import StoppedError
from jgpt2.train import policy, validation
from jgpt2.train.advance import Steps
from jgpt2.train.events import Events
from jgpt2.train.log import RunLog
from jgpt2.train.opened import OpenRun
from jgpt2.train.step import TrainState


class Leg:
    """Steps, evaluations and saves in their order."""

    def __init__(
        self,
        run: OpenRun,
        checkpoints: checkpoint.Checkpoints,
        events: Events,
        first_step: int,
        state: TrainState,
    ) -> None:
        """From `state`, which is that after `first_step` steps."""
        self._run, self._checkpoints = run, checkpoints
        self._first_step, self._last_step = first_step, run.trainer.num_steps
        self._log = RunLog(
            run.folder,
            name=run.settings.name,
            first_step=first_step,
            last_step=self._last_step,
            is_writer=run.group.is_first,
        )
        age_s = sum(run.activity.seconds().values())
        down_s = max(self._log.silent_s - age_s, 0.0)
        run.ledger.begin(self._log.kept, self._log.cut, down_s=down_s)
        self._evaluate = validation.evaluator(run.trainer, run.inputs, run.stop, run.activity)
        said = self._log.losses[-run.settings.loss_policy.window - policy.LAG :]
        watch = policy.LossWatch(run.settings.loss_policy, run.group.from_first("losses", said))
        self._steps = Steps(
            run.trainer, self._log, events, watch, run.activity, state=state, step=first_step
        )

    def go(
        self, compiled: futures.Future[jax.stages.Compiled], verified: futures.Future[None]
    ) -> int:
        """Trains to the end or to where the run is to stop, all saved; the exit code.

        `compiled` is waited for before the first step, `verified` before the run is complete.
        Raises WrongLossError where the loss policy is to act, DamageError when the data is damaged.
        """
        with self._log:
            with self._run.activity.during("compile"):
                compiled.result()
            self._run.activity.begin_steps()
            self._log.goodput(self._run.ledger.row(self._first_step))
            return self._go(verified)

    def _go(self, verified: futures.Future[None]) -> int:
        exit_code = self._catch_up()
        for step in range(self._first_step + 1, self._last_step + 1):
            if exit_code is not None:
                return exit_code
            if self._is_due(step, self._run.settings.checkpoint) or verified.done():
                verified.result()  # no step is recorded that was trained on damaged data
            exit_code = self._take(step)
        with self._run.activity.during("save"):
            self._checkpoints.finish()
        verified.result()
        self._log.goodput(self._run.ledger.row(self._last_step))
        return exit_code or 0

    def _catch_up(self) -> int | None:
        """Evaluates the first step where a stop came before its evaluation."""
        step = self._first_step
        is_missing = step > 0 and self._is_due(step, self._run.settings.evaluation)
        if not is_missing or self._run.group.from_first("evaluated", self._log.is_evaluated):
            return None
        bits_per_byte, exit_code = self._evaluated(step)
        if bits_per_byte is not None:
            self._checkpoints.score(step, bits_per_byte)
        return exit_code

    def _take(self, step: int) -> int | None:
        """One step and what is due after it; the exit code where the run is to stop."""
        self._steps.dispatch(step)
        exit_code = None if step == self._last_step else self._run.stop.poll()
        bits_per_byte = None
        if exit_code is None and self._is_due(step, self._run.settings.evaluation):
            self._steps.settle()
            bits_per_byte, exit_code = self._evaluated(step)
        if exit_code is not None or self._is_due(step, self._run.settings.checkpoint):
            self._steps.settle()
            with self._run.activity.during("save"):
                self._log.sync()  # first: a step whose rows are missing cannot be gone on from
                self._checkpoints.save(step, self._steps.state, bits_per_byte=bits_per_byte)
            self._log.goodput(self._run.ledger.row(step))
        self._checkpoints.poll()
        if exit_code is not None:
            with self._run.activity.during("save"):
                self._checkpoints.finish()
            self._log.goodput(self._run.ledger.row(step))
            self._run.say(f"saved step {step}; run the same command to go on")
        return exit_code

    def _is_due(self, step: int, settings: config.Checkpoint | config.Evaluation) -> bool:
        return step == self._last_step or step % settings.every_steps == 0

    def _evaluated(self, step: int) -> tuple[float | None, int | None]:
        """The bits per byte of a step; or the exit code where a stop was asked for meanwhile."""
        with self._run.activity.during("evaluation"):
            try:
                row: dict[str, Any] = self._evaluate(step, self._steps.state.params)
            except StoppedError as stopped:
                return None, stopped.exit_code
        self._log.evaluation(row)
        return row["bits_per_byte"], None
