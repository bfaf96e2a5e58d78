"""How fast a run's step is on the devices at hand, measured on random ids without a loader."""

import time
from dataclasses import dataclass

import jax
import numpy as np

from jgpt2 import config
from jgpt2.data import device
from jgpt2.errors import InputError
from jgpt2.model import sharding
from jgpt2.tokenizer.base import Tokenizer
from jgpt2.train import program


@dataclass(frozen=True)
class Pace:
    """Wall seconds."""

    compile_s: float
    step_s: tuple[float, ...]
    """Of each step, the first after compiling left out."""

    @property
    def median_s(self) -> float:
        """Of a step."""
        return float(np.median(self.step_s))


def measure(experiment: config.Experiment, tokenizer: Tokenizer, repetitions: int) -> Pace:
    """Compiles the step and runs it; InputError when its loss is no finite number."""
    mesh = sharding.make_mesh(experiment.mesh)
    built = program.build(
        experiment, vocab_size=tokenizer.vocab_size, num_steps=repetitions + 2, mesh=mesh
    )
    random = np.random.default_rng(0)
    rows = random.integers(0, tokenizer.vocab_size, built.abstract_rows.shape, np.int32)
    place = sharding.batch_sharding(mesh)
    given = (
        device.place(lambda part: rows[part], rows.shape, place),
        built.place(tokenizer.token_bytes, built.abstract_token_bytes),
        built.place_limit(),
    )
    with jax.set_mesh(mesh):
        started_s = time.perf_counter()
        step = built.lower().compile()
        compile_s = time.perf_counter() - started_s
        state = jax.block_until_ready(built.initialise())
        seconds = []
        for _ in range(repetitions + 1):
            started_s = time.perf_counter()
            state, metrics = jax.block_until_ready(step(state, *given))
            seconds.append(time.perf_counter() - started_s)
    if not np.isfinite(jax.device_get(metrics.loss)):
        raise InputError(
            "the loss is not a finite number, so the figure would mean nothing; lower "
            "optimizer.peak_lr."
        )
    return Pace(compile_s, tuple(seconds[1:]))
