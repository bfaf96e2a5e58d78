"""One optimizer step as a pure function over pytrees: (state, rows) -> (state, metrics).

`jgpt2.train.loop` compiles it once with `jax.jit` and NamedShardings (what `pjit` became) and
donates the state. Rows hold `context + 1` tokens: positions 0..T-1 predict positions 1..T.
"""

import math
import zlib
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int, Key

from jgpt2 import config
from jgpt2.model import gpt2, loss, sharding
from jgpt2.model import tuning as devices
from jgpt2.train import trained

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
    loss_limit: Float[Array, ""] | float = math.inf,
    *,
    graphdef: nnx.GraphDef[gpt2.GPT2],
    optimizer: optax.GradientTransformation,
    lr: optax.Schedule,
    accumulation: int,
    dropout_seed: int | None,
    skips: bool = False,
    tuning: config.Tuning | None = None,
) -> tuple[TrainState, Metrics]:
    """The state after one AdamW step on the global batch.

    `token_bytes_U` gives the bytes of each of the U tokens of the vocabulary. With `accumulation`
    above 1 the batch is worked through in that many parts whose gradients are averaged: same
    result, less memory. `dropout_seed` decides, with the step, what is dropped; None drops nothing.
    Where it `skips`, a loss above `loss_limit`, or one that is not finite, moves nothing but the
    count of steps; without, `loss_limit` is no part of the program. `tuning` says which parameters
    are trained; None trains all.
    """
    rng = None
    if dropout_seed is not None:
        rng = jax.random.fold_in(jax.random.key(dropout_seed), _DROPOUT)
        rng = jax.random.fold_in(rng, state.step)
    old_params, frozen = trained.split(state.params, tuning)
    value, grads = loss_and_grads(
        old_params,
        rows_BT1,
        rng,
        graphdef=graphdef,
        accumulation=accumulation,
        frozen=frozen,
    )
    updates, opt_state = optimizer.update(grads, state.opt_state, old_params)
    params = cast(gpt2.Params, optax.apply_updates(old_params, updates))
    metrics = Metrics(
        loss=value,
        grad_norm=optax.tree.norm(grads),
        lr=jnp.asarray(lr(state.step)),
        num_bytes=jnp.sum(token_bytes_U[rows_BT1[:, 1:]]),
    )
    if skips:
        is_right = jnp.isfinite(value) & jnp.isfinite(metrics.grad_norm) & (value <= loss_limit)
        old, new = (old_params, state.opt_state), (params, opt_state)
        params, opt_state = jax.tree.map(partial(jnp.where, is_right), new, old)
    return TrainState(state.step + 1, trained.join(params, frozen), opt_state), metrics


def loss_and_grads(
    params: gpt2.Params,
    rows_BT1: Int[Array, "B T1"],
    rng: Key[Array, ""] | None = None,
    *,
    graphdef: nnx.GraphDef[gpt2.GPT2],
    accumulation: int = 1,
    frozen: gpt2.Params | None = None,
) -> tuple[Float[Array, ""], gpt2.Params]:
    """The mean loss of the global batch, and its gradients placed as the parameters are.

    `frozen` are parameters beside `params` that have no gradients.

    On a mesh of `data × fsdp` every device works on its own rows and says what it sends; shares of
    heads (`tensor`), and dropout, whose masks are drawn for the global batch, go by the compiler.
    """
    frozen = frozen or {}
    mesh = jax.sharding.get_abstract_mesh()
    num_targets = rows_BT1.shape[0] * (rows_BT1.shape[1] - 1)
    share = partial(_share_of_mean, graphdef=graphdef, num_targets=num_targets)
    of_rows = partial(_of_rows, share, accumulation=accumulation)
    is_alone = mesh.empty or devices.is_whole_on("cpu")  # even a sum of one is a copy on a CPU
    if is_alone or mesh.shape["tensor"] > 1 or rng is not None:
        return of_rows(params, frozen, rows_BT1, rng)

    def of_device(
        params: gpt2.Params, frozen: gpt2.Params, rows_BT1: Array
    ) -> tuple[Array, gpt2.Params]:
        value, grads = of_rows(params, frozen, rows_BT1, None)
        grads = sharding.reduce(grads, _compute_dtype(graphdef, trained.join(params, frozen)))
        return jax.lax.psum(value, sharding.BATCH_AXES), grads

    places = sharding.specs(params, mesh)
    return jax.shard_map(
        of_device,
        in_specs=(places, sharding.specs(frozen, mesh), sharding.spec(("batch",))),
        out_specs=(P(), places),
        check_vma=False,
    )(params, frozen, rows_BT1)


def _compute_dtype(graphdef: nnx.GraphDef[gpt2.GPT2], params: gpt2.Params) -> str:
    return nnx.merge(graphdef, params).model.compute_dtype


def _of_rows(share, params, frozen, rows_BT1, rng, *, accumulation):
    share = partial(share, frozen=frozen)
    if accumulation == 1:
        return jax.value_and_grad(share)(params, rows_BT1, rng)
    return _accumulate(share, params, rows_BT1, rng, accumulation)


def _share_of_mean(params, rows_BT1, rng, *, frozen, graphdef, num_targets):
    """What these rows add to the mean over all targets of the global batch."""
    params = trained.join(params, frozen)
    outer = {name: params[name] for name in params if name != "blocks"}
    outer = sharding.gather(outer, _compute_dtype(graphdef, params))
    # Each block is gathered where it is used.
    module = nnx.merge(graphdef, {**outer, "blocks": params["blocks"]})
    return loss.total_nll(module, rows_BT1, dropout_rng=rng) / num_targets


def _accumulate(share: Any, params: Any, rows_BT1: Array, rng: Any, parts: int) -> Any:
    # Every part takes rows from each device's share: no rows move between devices.
    rows_ABT1 = jnp.swapaxes(rows_BT1.reshape(-1, parts, rows_BT1.shape[-1]), 0, 1)

    def add_part(sums: Any, part: Any) -> tuple[Any, None]:
        index, rows = part
        part_rng = None if rng is None else jax.random.fold_in(rng, index)
        value_and_grads = jax.value_and_grad(share)(params, rows, part_rng)
        return jax.tree.map(jnp.add, sums, value_and_grads), None

    zeros = (jnp.zeros((), jnp.float32), jax.tree.map(jnp.zeros_like, params))
    sums, _ = jax.lax.scan(add_part, zeros, (jnp.arange(parts), rows_ABT1))
    return sums
