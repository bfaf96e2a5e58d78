"""What a model says of every token of given rows: its nats, and whether it would have taken it.

For tests that compare texts with each other (`jgpt2.harness`); documents are scored by `bits`,
whose protocol this follows: sliding windows, each token once, sums in float64.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float32, Float64, Int, Int32

from jgpt2.errors import DamageError
from jgpt2.evaluate import sliding, windows
from jgpt2.model import gpt2, loss


class Told(NamedTuple):
    """One entry for each id of a row but the first."""

    nll: Float64[np.ndarray, " tokens"]
    """Nats of the id, given those before it."""
    is_likeliest: Bool[np.ndarray, " tokens"]
    """Whether greedy decoding takes it."""


def score(
    graphdef: nnx.GraphDef[gpt2.GPT2],
    params: gpt2.Params,
    rows: Sequence[Int[np.ndarray, " tokens1"]],
    *,
    context: int,
    padding: int,
    batch_rows: int = 8,
    sharding: jax.sharding.NamedSharding | None = None,
    report: Callable[[int, int], None] | None = None,
) -> list[Told]:
    """Scores each row, of one id or more, alone; the rest as for `sliding.run`.

    Windows slide by half of the context, as in an evaluation. Raises DamageError when nats are not
    finite.
    """
    told = [Told(np.zeros(len(row) - 1), np.zeros(len(row) - 1, bool)) for row in rows]
    for index, targets, (nll_T, is_likeliest_T) in sliding.run(
        functools.partial(_judge, graphdef, sharding, params),
        rows,
        context=context,
        padding=padding,
        stride=windows.check_stride(context, None),
        batch_rows=batch_rows,
        sharding=sharding,
        report=report,
    ):
        told[index].nll[targets] = nll_T
        told[index].is_likeliest[targets] = is_likeliest_T
    if not all(np.isfinite(row.nll).all() for row in told):
        raise DamageError(
            "the model gives a text a likelihood that is not finite: its weights are damaged or "
            "its training diverged; use an earlier checkpoint."
        )
    return told


@functools.partial(jax.jit, static_argnums=(0, 1))
def _judge(
    graphdef: nnx.GraphDef[gpt2.GPT2],
    sharding: jax.sharding.NamedSharding | None,
    params: gpt2.Params,
    rows_BT1: Int32[Array, "B T1"],
) -> tuple[Float32[Array, "B T"], Bool[Array, "B T"]]:
    module = nnx.merge(graphdef, params)
    targets_BT = rows_BT1[:, 1:]
    logits_BTV = module.logits(module(rows_BT1[:, :-1]))
    told = loss.nll(logits_BTV, targets_BT), jnp.argmax(logits_BTV, axis=-1) == targets_BT
    return sliding.everywhere(told, sharding)
