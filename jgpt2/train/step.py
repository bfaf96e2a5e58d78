"""One optimizer step as a pure function over pytrees: (state, rows) -> (state, metrics).

`jgpt2.train.loop` compiles it once with `jax.jit` and NamedShardings (what `pjit` became) and
donates the state. Rows hold `context + 1` tokens: positions 0..T-1 predict positions 1..T.
"""

import zlib
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int

from jgpt2.model import gpt2, loss

_DROPOUT = zlib.crc32(b"dropout")
"""Names the random numbers of dropout, apart from those of the initial weights."""


class TrainState(NamedTuple):
    """Everything that training carries from step to step."""

    step: Int[Array, ""]
    """Optimizer steps done."""
    params: gpt2.Params
    opt_state: optax.OptState


class Metrics(NamedTuple):
    """What one step reports, as device scalars."""

    loss: Float[Array, ""]
    """Mean nats per predicted token over the global batch."""
    grad_norm: Float[Array, ""]
    """Global norm of the gradients before clipping."""
    lr: Float[Array, ""]
    """Learning rate that the step used."""
    num_bytes: Int[Array, ""]
    """UTF-8 bytes of text that the predicted tokens stand for."""


def train_step(
    state: TrainState,
    rows_BT1: Int[Array, "B T1"],
    token_bytes_U: Int[Array, " U"],
    *,
    graphdef: nnx.GraphDef[Any],
    optimizer: optax.GradientTransformation,
    lr: optax.Schedule,
    accumulation: int,
    dropout_seed: int | None,
) -> tuple[TrainState, Metrics]:
    """The state after one AdamW step on the global batch.

    `token_bytes_U` gives the bytes of each of the U tokens of the vocabulary. With `accumulation`
    above 1 the batch is worked through in that many parts whose gradients are averaged: same
    result, less memory. `dropout_seed` decides, with the step, what is dropped; None drops nothing.
    """
    rng = None
    if dropout_seed is not None:
        rng = jax.random.fold_in(jax.random.key(dropout_seed), _DROPOUT)
        rng = jax.random.fold_in(rng, state.step)
    mean_loss = partial(_mean_loss, graphdef=graphdef)
    if accumulation == 1:
        value, grads = jax.value_and_grad(mean_loss)(state.params, rows_BT1, rng)
    else:
        value, grads = _accumulate(mean_loss, state.params, rows_BT1, rng, accumulation)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = cast(gpt2.Params, optax.apply_updates(state.params, updates))
    metrics = Metrics(
        loss=value,
        grad_norm=optax.tree.norm(grads),
        lr=jnp.asarray(lr(state.step)),
        num_bytes=jnp.sum(token_bytes_U[rows_BT1[:, 1:]]),
    )
    return TrainState(state.step + 1, params, opt_state), metrics


def _mean_loss(params: gpt2.Params, rows_BT1: Array, rng: Array | None, *, graphdef: Any) -> Array:
    module = nnx.merge(graphdef, params)
    return jnp.mean(loss.next_token_nll(module, rows_BT1, dropout_rng=rng))


def _accumulate(mean_loss: Any, params: Any, rows_BT1: Array, rng: Any, parts: int) -> Any:
    # Every part takes rows from each device's share: no rows move between devices.
    rows_ABT1 = jnp.swapaxes(rows_BT1.reshape(-1, parts, rows_BT1.shape[-1]), 0, 1)

    def add_part(sums: Any, part: Any) -> tuple[Any, None]:
        index, rows = part
        part_rng = None if rng is None else jax.random.fold_in(rng, index)
        value_and_grads = jax.value_and_grad(mean_loss)(params, rows, part_rng)
        return jax.tree.map(jnp.add, sums, value_and_grads), None

    zeros = (jnp.zeros((), jnp.float32), jax.tree.map(jnp.zeros_like, params))
    sums, _ = jax.lax.scan(add_part, zeros, (jnp.arange(parts), rows_ABT1))
    return jax.tree.map(lambda total: total / parts, sums)
