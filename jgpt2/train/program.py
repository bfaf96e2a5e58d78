"""The compiled parts of a run, from its config and a mesh alone: the training loop runs them,
`jgpt2 plan` compiles them for devices that are not there.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.sharding import Mesh

from jgpt2 import chips, config
from jgpt2.model import gpt2, lora, sharding
from jgpt2.train import compiler, optim, trained
from jgpt2.train.step import Metrics, TrainState, train_step


@dataclass(frozen=True)
class Program:
    """What one run executes; use it inside `jax.set_mesh(program.mesh)`."""

    mesh: Mesh
    step: Callable[[TrainState, jax.Array, jax.Array, jax.Array], tuple[TrainState, Metrics]]
    """(state, rows, token_bytes, loss_limit) -> (state, metrics), jitted; the state is donated."""
    initialise: Callable[[], TrainState]
    """The first state of a run with drawn parameters."""
    begin: Callable[[gpt2.Params], TrainState]
    """The first state of a run that starts from a model's parameters, which are donated."""
    abstract_state: TrainState
    """Shapes, types and places of the state."""
    abstract_rows: jax.ShapeDtypeStruct
    """[B, context + 1] the rows of a step."""
    abstract_token_bytes: jax.ShapeDtypeStruct
    """[U] the bytes of each token of the vocabulary."""
    abstract_loss_limit: jax.ShapeDtypeStruct
    """[] the loss from which a step is skipped, where the policy is to skip."""

    @property
    def abstract_arguments(self) -> tuple[Any, ...]:
        """Shapes, types and places of what `step` takes."""
        shapes = (self.abstract_rows, self.abstract_token_bytes, self.abstract_loss_limit)
        return self.abstract_state, *shapes

    def place(self, value: npt.ArrayLike, like: jax.ShapeDtypeStruct) -> jax.Array:
        """A value that every process has, as an array of the shape, type and places of `like`."""
        array = np.asarray(value, like.dtype)
        return jax.make_array_from_callback(like.shape, like.sharding, lambda part: array[part])

    def place_limit(self, loss: float = math.inf) -> jax.Array:
        """The `loss_limit` of a step: by default none."""
        return self.place(loss, self.abstract_loss_limit)

    def lower(self) -> jax.stages.Lowered:
        """The step as it is handed to the compiler of the mesh's devices."""
        with jax.set_mesh(self.mesh):
            return self.step.lower(  # pyright: ignore[reportFunctionMemberAccess]
                *self.abstract_arguments
            )


def build(experiment: config.Experiment, *, vocab_size: int, num_steps: int, mesh: Mesh) -> Program:
    """The program of an experiment with a vocabulary of that size, trained for `num_steps`.

    Raises InputError when model, vocabulary or batch do not divide over the mesh.
    """
    model, batch = experiment.model, experiment.batch
    rows = batch.sequences // batch.accumulation
    sharding.check(model, gpt2.padded_vocab(vocab_size), rows, mesh)
    lr = optim.schedule(
        experiment.schedule, peak_lr=experiment.optimizer.peak_lr, num_steps=num_steps
    )
    optimizer = optim.make(experiment.optimizer, lr)
    tuning = experiment.start and experiment.start.tuning
    graphdef, like = lora.abstract(model, vocab_size, tuning)

    def draw() -> gpt2.Params:
        return gpt2.create(model, vocab_size, experiment.seed)[1]

    def start(params: gpt2.Params) -> TrainState:
        params = lora.add(params, like, experiment.seed)
        opt_state = optimizer.init(trained.split(params, tuning)[0])
        return TrainState(jnp.zeros((), jnp.int32), params, opt_state)

    with jax.set_mesh(mesh):  # as the run has it: what is traced here is not traced again
        drawn = jax.eval_shape(draw)
        abstract = jax.eval_shape(start, drawn)
    shardings = sharding.shardings(abstract, mesh)
    by_row, everywhere = sharding.batch_sharding(mesh), sharding.replicated(mesh)
    # Two programs: the moments get the room that random numbers take while the weights are drawn.
    draw_placed = jax.jit(draw, out_shardings=sharding.shardings(drawn, mesh))
    start_placed = jax.jit(start, donate_argnums=0, out_shardings=shardings)
    step = jax.jit(
        partial(
            train_step,
            graphdef=graphdef,
            optimizer=optimizer,
            lr=lr,
            accumulation=batch.accumulation,
            dropout_seed=experiment.seed if model.dropout else None,
            skips=experiment.loss_policy.action == "skip",
            tuning=tuning,
        ),
        donate_argnums=0,
        in_shardings=(shardings, by_row, everywhere, everywhere),
        out_shardings=(shardings, everywhere),
        compiler_options=compiler.options(chips.by_device_kind(mesh.devices.flat[0].device_kind)),
    )
    return Program(
        mesh=mesh,
        step=step,
        initialise=lambda: start_placed(draw_placed()),
        begin=start_placed,
        abstract_state=sharding.placed(abstract, mesh),
        abstract_rows=jax.ShapeDtypeStruct(
            (batch.sequences, model.context + 1), jnp.int32, sharding=by_row
        ),
        abstract_token_bytes=jax.ShapeDtypeStruct((vocab_size,), jnp.int32, sharding=everywhere),
        abstract_loss_limit=jax.ShapeDtypeStruct((), jnp.float32, sharding=everywhere),
    )
