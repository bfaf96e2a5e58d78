"""The compiled parts of a run, for real devices or for those of a topology."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jgpt2 import config
from jgpt2.model import gpt2, sharding
from jgpt2.train import optim
from jgpt2.train.step import TrainState, train_step


@dataclass(frozen=True)
class Program:
    step: Any
    initialise: Any
    abstract_state: TrainState
    abstract_rows: Any
    abstract_token_bytes: Any
    mesh: Any = None

    def compile(self) -> Any:
        with jax.set_mesh(self.mesh):
            return self.step.lower(
                self.abstract_state, self.abstract_rows, self.abstract_token_bytes
            ).compile()


def build(experiment: config.Experiment, *, vocab_size: int, num_steps: int, mesh: Any) -> Program:
    lr = optim.schedule(
        experiment.schedule, peak_lr=experiment.optimizer.peak_lr, num_steps=num_steps
    )
    optimizer = optim.make(experiment.optimizer, lr)
    graphdef, _ = gpt2.abstract(experiment.model, vocab_size)

    def initialise() -> TrainState:
        _, params = gpt2.create(experiment.model, vocab_size, experiment.seed)
        return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))

    abstract = jax.eval_shape(initialise)
    shardings = sharding.shardings(abstract, mesh)
    everywhere = sharding.replicated(mesh)
    step = jax.jit(
        partial(
            train_step,
            graphdef=graphdef,
            optimizer=optimizer,
            lr=lr,
            accumulation=experiment.batch.accumulation,
            dropout_seed=experiment.seed if experiment.model.dropout else None,
        ),
        donate_argnums=0,
        in_shardings=(shardings, sharding.batch_sharding(mesh), everywhere),
        out_shardings=(shardings, everywhere),
    )
    S = jax.ShapeDtypeStruct
    return Program(
        step,
        jax.jit(initialise, out_shardings=shardings),
        jax.tree.map(
            lambda leaf, where: S(leaf.shape, leaf.dtype, sharding=where), abstract, shardings
        ),
        S(
            (experiment.batch.sequences, experiment.model.context + 1),
            jnp.int32,
            sharding=sharding.batch_sharding(mesh),
        ),
        S((vocab_size,), jnp.int32, sharding=everywhere),
        mesh,
    )
