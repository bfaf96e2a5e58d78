"""Steps of a run: each is dispatched before the one before it is read, then checked and logged.

Between `jgpt2.train.loop`, which says how far to go, and the compiled step.
"""

import math
import time
from typing import Any

import jax

from jgpt2 import chips
from jgpt2.data import device, loader
from jgpt2.model import sharding
from jgpt2.train import budget, policy
from jgpt2.train.activity import Activity
from jgpt2.train.events import SKIP, Events
from jgpt2.train.log import RunLog
from jgpt2.train.setup import Trainer
from jgpt2.train.step import Metrics, TrainState


class Steps:
    """Dispatches steps and logs each one while the next is computed."""

    def __init__(
        self,
        trainer: Trainer,
        log: RunLog,
        events: Events,
        watch: policy.LossWatch,
        activity: Activity,
        *,
        state: TrainState,
        step: int,
    ) -> None:
        """From `state`, which is that after `step` steps."""
        self.state = state
        self._trainer, self._log, self._events = trainer, log, events
        self._watch, self._activity = watch, activity
        settings = trainer.experiment
        self._shape = (settings.batch.sequences, settings.model.context + 1)
        self._placement = sharding.batch_sharding(trainer.program.mesh)
        self._left_out = events.batches_left_out
        self._batches = loader.batches(
            trainer.training,
            context=settings.model.context,
            sequences=settings.batch.sequences,
            seed=settings.seed,
            first_step=step,
            batch_of=lambda at: policy.batch_of(at, self._left_out),
            rows=device.local_rows(self._shape, self._placement),
        )
        self._num_bytes = log.num_bytes
        self._no_limit = trainer.program.place_limit()
        self._pending: tuple[int, int, Metrics, float, float] | None = None
        self._settled_s = time.perf_counter()
        peak = chips.peak_flops(jax.devices()[0].device_kind)
        self._peak_flops = None if peak is None else peak * trainer.program.mesh.size

    def dispatch(self, step: int) -> None:
        """Starts one step on the device, then logs the one before it."""
        started_s = time.perf_counter()
        if self._pending is None:  # what went on since the last step was no part of this one
            self._settled_s = started_s
        with self._activity.during("data_wait"):
            batch, local_rows = next(self._batches)
            rows = device.place_local(local_rows, self._shape, self._placement)
        wait_s = time.perf_counter() - started_s
        limit = self._watch.limit(step)
        is_limited = self._trainer.experiment.loss_policy.action == "skip" and limit < math.inf
        placed = self._trainer.program.place_limit(limit) if is_limited else self._no_limit
        with jax.transfer_guard("disallow"):
            self.state, metrics = self._trainer.program.step(
                self.state, rows, self._trainer.token_bytes, placed
            )
        self.settle()
        self._pending = (step, batch, metrics, limit, wait_s)

    def settle(self) -> None:
        """Waits for the step in flight and logs it.

        Raises WrongLossError when its loss is wrong and was not skipped: before that state is
        saved, and before the step is logged.
        """
        if self._pending is None:
            return
        step, batch, metrics, limit, wait_s = self._pending
        self._pending = None
        values = jax.device_get(metrics)
        now_s = time.perf_counter()
        step_time_s, self._settled_s = now_s - self._settled_s, now_s
        what = policy.what_is_wrong(float(values.loss), float(values.grad_norm), limit)
        if what is not None:
            self._skip(step, batch, what)
        else:
            self._watch.note(step, float(values.loss))
        self._num_bytes += int(values.num_bytes)
        row = self._row(step, batch, values, step_time_s, wait_s)
        self._log.train(row | ({} if what is None else {"is_skipped": True}))
        self._activity.step_done(step)

    def _skip(self, step: int, batch: int, what: str) -> None:
        settings = self._trainer.experiment.loss_policy
        if settings.action != "skip" or self._events.num_wrong >= settings.limit:
            raise policy.WrongLossError(step, what)
        self._events.add(SKIP, step=step, batches=[batch], what=what)
        self._log.say(f"{self._trainer.experiment.name}: skipped step {step}: {what}")

    def _row(
        self, step: int, batch: int, values: Metrics, step_time_s: float, wait_s: float
    ) -> dict[str, Any]:
        settings = self._trainer.experiment
        num_tokens = budget.tokens_per_step(settings)
        flops = self._trainer.flops_per_step
        peak = self._peak_flops
        first = batch * settings.batch.sequences
        return {
            "step": step,
            "examples": [first, first + settings.batch.sequences],
            "tokens": step * num_tokens,
            "bytes": self._num_bytes,
            "flops": step * flops,
            "loss": _finite(values.loss),
            "bpb": _finite(float(values.loss) * num_tokens / math.log(2) / int(values.num_bytes)),
            "lr": float(values.lr),
            "grad_norm": _finite(values.grad_norm),
            "step_time_s": round(step_time_s, 6),
            "data_wait_s": round(wait_s, 6),
            "tokens_per_s": round(num_tokens / step_time_s, 1),
            "mfu": None if peak is None else round(flops / step_time_s / peak, 4),
        }


def _finite(value: Any) -> float | None:
    """JSON has no infinity; only a skipped step's figures can be other than finite."""
    return float(value) if math.isfinite(value) else None
