"""Training from a config to a run folder: open, resume, step, evaluate, save, stop.

Everything that can be refused is refused before the first device call. The step is compiled in a
thread while the state is made and the first rows are read. The next step is dispatched before the
metrics of the last one are read, so the device never waits for the log.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jgpt2 import checkpoint, chips, config, progress, runs
from jgpt2.data import device, loader, mixture, tokens
from jgpt2.errors import InputError
from jgpt2.evaluate import bits
from jgpt2.model import count, gpt2, sharding
from jgpt2.tokenizer.base import Tokenizer
from jgpt2.train import budget, program, signals
from jgpt2.train.log import RunLog
from jgpt2.train.step import Metrics, TrainState

EVALUATION_ROWS = 16
"""Rows of the context's length scored at a time; more where the mesh has more parts."""


@dataclass(frozen=True)
class Inputs:
    """What a run is trained on, checked to belong together."""

    stores: Mapping[str, tokens.TokenStore]
    """Name of each dataset -> its token store."""
    tokenizer: Tokenizer
    tokenizer_folder: Path
    validation: Sequence[bits.Scorable]
    """Documents scored during training, in order, up to `evaluation.max_bytes`."""

    @property
    def parents(self) -> dict[str, str]:
        """Role -> fingerprint of all that a run is made from.

        A dataset alone and its token store are `dataset` and `tokens`; of several each is named.
        """
        parents: dict[str, str] = {}
        for name, store in self.stores.items():
            of = f" {name}" if len(self.stores) > 1 else ""
            parents |= {
                "tokenizer": store.manifest.parents["tokenizer"],
                f"dataset{of}": store.manifest.parents["dataset"],
                f"tokens{of}": store.manifest.fingerprint,
            }
        return parents


@dataclass(frozen=True)
class Trainer:
    """The compiled parts of one run."""

    experiment: config.Experiment
    training: mixture.Mixture
    program: program.Program
    token_bytes: jax.Array
    num_steps: int
    flops_per_step: float

    def describe_training(self) -> dict[str, dict[str, Any]]:
        """Name of each dataset -> its shares and epochs over the whole run."""
        return self.training.describe(
            num_rows=self.num_steps * self.experiment.batch.sequences,
            context=self.experiment.model.context,
        )


def train(experiment: config.Experiment, inputs: Inputs, run: Path) -> int:
    """Trains to the end of the budget, or until a signal; returns the exit code.

    0 when the run is complete; 130 after Ctrl-C and 42 after SIGTERM, with the state saved. Called
    again with the same arguments it goes on from the last checkpoint, bit for bit on CPU.
    """
    trainer = prepare(experiment, inputs)
    with signals.listening() as stop:
        return execute(trainer, inputs, run, stop)


def make_mesh(experiment: config.Experiment, vocab_size: int) -> Mesh:
    """The mesh of a run; InputError when its model, vocabulary or batch do not divide over it."""
    mesh = sharding.make_mesh(experiment.mesh)
    rows = experiment.batch.sequences // experiment.batch.accumulation
    sharding.check(experiment.model, gpt2.padded_vocab(vocab_size), rows, mesh)
    return mesh


def prepare(experiment: config.Experiment, inputs: Inputs) -> Trainer:
    """Checks the experiment against its data and devices, and builds the parts of the run."""
    training = mixture.training(experiment.weights, inputs.stores)
    mixture.check(training, context=experiment.model.context)
    mesh = make_mesh(experiment, inputs.tokenizer.vocab_size)
    steps = budget.num_steps(
        experiment,
        vocab_size=inputs.tokenizer.vocab_size,
        bytes_per_token=training.bytes_per_token,
    )
    built = program.build(
        experiment, vocab_size=inputs.tokenizer.vocab_size, num_steps=steps, mesh=mesh
    )
    return Trainer(
        experiment=experiment,
        training=training,
        program=built,
        token_bytes=jax.device_put(
            inputs.tokenizer.token_bytes.astype(np.int32), built.abstract_token_bytes.sharding
        ),
        num_steps=steps,
        flops_per_step=budget.tokens_per_step(experiment)
        * count.flops_per_token(experiment.model, inputs.tokenizer.vocab_size),
    )


def execute(trainer: Trainer, inputs: Inputs, run: Path, stop: signals.StopRequest) -> int:
    """Makes or finds the run folder, and trains to the end or to the step where `stop` is set."""
    runs.create(
        run,
        trainer.experiment,
        tokenizer=inputs.tokenizer_folder,
        parents=inputs.parents,
        notes={"datasets": trainer.describe_training()},
    )
    with jax.set_mesh(trainer.program.mesh):
        return _go_on(trainer, inputs, run, stop)


def _go_on(trainer: Trainer, inputs: Inputs, run: Path, stop: signals.StopRequest) -> int:
    folder, settings = run / runs.CHECKPOINTS, trainer.experiment
    first_step = max(checkpoint.steps(folder), default=0)
    if first_step >= trainer.num_steps:
        progress.say(f"{settings.name}: {run} is complete at step {first_step}")
        return 0
    with (
        checkpoint.Checkpoints(folder, keep_last=settings.checkpoint.keep_last) as checkpoints,
        RunLog(run, name=settings.name, first_step=first_step, last_step=trainer.num_steps) as log,
        _compiling(trainer.program) as compiled,
    ):
        checkpoints.require_space(trainer.program.abstract_state)
        if first_step:
            log.say(f"{settings.name}: going on from step {first_step} of {run}")
            state = checkpoint.restore(folder, first_step, trainer.program.abstract_state)
        else:
            _say_what_is_read(trainer, log)
            state = trainer.program.initialise()
        evaluate = _evaluator(trainer, inputs)
        steps = _Steps(trainer, log, state, first_step)
        compiled.result()
        for step in range(first_step + 1, trainer.num_steps + 1):
            steps.dispatch(step)
            is_last = step == trainer.num_steps
            exit_code = None if is_last else stop.exit_code  # read once: signals come at any time
            is_saved = is_last or exit_code is not None or _is_due(step, settings.checkpoint)
            is_evaluated = is_last or _is_due(step, settings.evaluation)
            bits_per_byte = None
            if is_evaluated or is_saved:
                steps.settle()
            if is_evaluated:
                row = evaluate(step, steps.state.params)
                log.evaluation(row)
                bits_per_byte = row["bits_per_byte"]
            if is_saved:
                checkpoints.save(step, steps.state, bits_per_byte=bits_per_byte)
            checkpoints.poll()
            if exit_code is not None:
                checkpoints.finish()
                log.say(f"{settings.name}: saved step {step}; run the same command to go on")
                return exit_code
    return 0


@contextmanager
def _compiling(built: program.Program) -> Iterator[futures.Future[jax.stages.Compiled]]:
    """The step on its way in a thread; `built.step` finds what was compiled.

    Whoever leaves before it is there does not wait: it ends with the process.
    """
    compiler = futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="compile")
    try:
        yield compiler.submit(built.compile)
    finally:
        compiler.shutdown(wait=False)


def _say_what_is_read(trainer: Trainer, log: RunLog) -> None:
    for name, facts in trainer.describe_training().items():
        log.say(
            f"{trainer.experiment.name}: reads {name} {facts['epochs']:.3g} times in "
            f"{trainer.num_steps} steps ({facts['byte_share']:.1%} of the bytes, "
            f"{facts['row_share']:.1%} of the rows)"
        )


def _is_due(step: int, settings: config.Checkpoint | config.Evaluation) -> bool:
    return step % settings.every_steps == 0


def _evaluator(trainer: Trainer, inputs: Inputs) -> Callable[[int, gpt2.Params], dict[str, Any]]:
    """A function that scores the validation documents and gives a row for metrics.jsonl."""
    model = trainer.experiment.model
    graphdef, _ = gpt2.abstract(model, inputs.tokenizer.vocab_size)

    def evaluate(step: int, params: gpt2.Params) -> dict[str, Any]:
        started_s = time.perf_counter()
        scores = bits.score(
            graphdef,
            params,
            inputs.validation,
            model=model,
            eot=inputs.tokenizer.eot,
            rows=sharding.batch_rows(trainer.program.mesh, EVALUATION_ROWS),
            sharding=sharding.batch_sharding(trainer.program.mesh),
        )
        total = bits.summary(scores).overall
        return {
            "step": step,
            "split": "validation",
            "num_documents": total.num_documents,
            "num_bytes": total.num_bytes,
            "bits_per_byte": total.bits_per_byte,
            "bits_per_char": total.bits_per_char,
            "evaluation_time_s": round(time.perf_counter() - started_s, 3),
        }

    return evaluate


class _Steps:
    """Dispatches steps and logs each one while the next is computed."""

    def __init__(self, trainer: Trainer, log: RunLog, state: TrainState, step: int) -> None:
        self.state = state
        self._trainer, self._log = trainer, log
        settings = trainer.experiment
        self._shape = (settings.batch.sequences, settings.model.context + 1)
        self._placement = sharding.batch_sharding(trainer.program.mesh)
        self._batches = loader.batches(
            trainer.training,
            context=settings.model.context,
            sequences=settings.batch.sequences,
            seed=settings.seed,
            first_step=step,
            rows=device.local_rows(self._shape, self._placement),
        )
        self._num_bytes = log.num_bytes
        self._pending: tuple[int, Metrics, float] | None = None
        self._settled_s = time.perf_counter()
        peak = chips.peak_flops(jax.devices()[0].device_kind)
        self._peak_flops = None if peak is None else peak * trainer.program.mesh.size

    def dispatch(self, step: int) -> None:
        """Starts one step on the device, then logs the one before it."""
        started_s = time.perf_counter()
        if self._pending is None:  # what went on since the last step was no part of this one
            self._settled_s = started_s
        _, local_rows = next(self._batches)
        rows = device.place_local(local_rows, self._shape, self._placement)
        wait_s = time.perf_counter() - started_s
        with jax.transfer_guard("disallow"):
            self.state, metrics = self._trainer.program.step(
                self.state, rows, self._trainer.token_bytes
            )
        self.settle()
        self._pending = (step, metrics, wait_s)

    def settle(self) -> None:
        """Waits for the step in flight and logs it.

        Raises InputError when its loss or gradient is not a finite number: the run stops before
        that state is saved.
        """
        if self._pending is None:
            return
        step, metrics, wait_s = self._pending
        self._pending = None
        values = jax.device_get(metrics)
        now_s = time.perf_counter()
        step_time_s, self._settled_s = now_s - self._settled_s, now_s
        if not (math.isfinite(values.loss) and math.isfinite(values.grad_norm)):
            raise InputError(
                f"the loss is {values.loss} and the gradient norm {values.grad_norm} at step "
                f"{step}; lower optimizer.peak_lr or lengthen schedule.warmup, in another --run "
                "folder. The last checkpoint here is from before this step."
            )
        self._num_bytes += int(values.num_bytes)
        self._log.train(self._row(step, values, step_time_s, wait_s))

    def _row(self, step: int, values: Metrics, step_time_s: float, wait_s: float) -> dict[str, Any]:
        num_tokens = budget.tokens_per_step(self._trainer.experiment)
        flops = self._trainer.flops_per_step
        peak = self._peak_flops
        return {
            "step": step,
            "tokens": step * num_tokens,
            "bytes": self._num_bytes,
            "flops": step * flops,
            "loss": float(values.loss),
            "bpb": float(values.loss) * num_tokens / math.log(2) / int(values.num_bytes),
            "lr": float(values.lr),
            "grad_norm": float(values.grad_norm),
            "step_time_s": round(step_time_s, 6),
            "data_wait_s": round(wait_s, 6),
            "tokens_per_s": round(num_tokens / step_time_s, 1),
            "mfu": None if peak is None else round(flops / step_time_s / peak, 4),
        }
