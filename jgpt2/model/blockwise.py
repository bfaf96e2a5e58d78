"""Causal attention by blocks of queries, in plain XLA: no T x T array is ever kept.

Each block of queries looks at the keys up to its end alone, so that nearly half of the products
fall away; the backward pass makes the weights again from the log-sum-exp of the scores (Dao et al.
2022, FlashAttention, section 3.1). What is slow on a CPU decides the form of every product: XLA
multiplies rows by rows or by columns there at the speed of the machine, columns by rows not.

Dims: B batch, T positions, H heads, K head width, D = H·K, N = B·H; C queries, S keys of a block.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from jgpt2.model import attention

MAX_BLOCKS = 4
"""Blocks of queries: more save little (5 of 8 products are made with 4, 9 of 16 with 8), and XLA
compiles each of them apart."""
MIN_BLOCK = 128
"""Fewest queries of a block; the last one may have fewer."""


def attend(
    q_BTD: Float[Array, "B T D"],
    k_BTD: Float[Array, "B T D"],
    v_BTD: Float[Array, "B T D"],
    heads: int,
    block: int | None = None,
) -> Float[Array, "B T D"]:
    """softmax(q·k / √K)·v of each head, over the keys up to each query; softmax in float32."""
    batch, positions, width = q_BTD.shape
    block = max(MIN_BLOCK, math.ceil(positions / MAX_BLOCKS)) if block is None else block

    def by_head(x_BTD: Array) -> Array:
        x_BTHK = x_BTD.reshape(batch, positions, heads, -1)
        return x_BTHK.swapaxes(1, 2).reshape(batch * heads, positions, -1)

    scaled_BTD = q_BTD * (width // heads) ** -0.5
    mixed_NTK = _attend(by_head(scaled_BTD), by_head(k_BTD), by_head(v_BTD), block)
    mixed_BHTK = mixed_NTK.reshape(batch, heads, positions, -1)
    return mixed_BHTK.swapaxes(1, 2).reshape(q_BTD.shape)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _attend(q_NTK: Array, k_NTK: Array, v_NTK: Array, block: int) -> Array:
    return _forward(q_NTK, k_NTK, v_NTK, block)[0]


def _forward(q_NTK, k_NTK, v_NTK, block):
    mixed, logsumexps = [], []
    for start, stop in _blocks(q_NTK.shape[1], block):
        q_NCK, k_NSK, v_NSK = q_NTK[:, start:stop], k_NTK[:, :stop], v_NTK[:, :stop]
        is_visible_CS = jnp.arange(stop)[None] <= jnp.arange(start, stop)[:, None]
        scores_NCS = jnp.where(is_visible_CS, _rows(q_NCK, k_NSK), attention.MASKED_SCORE)
        best_NC1 = jnp.max(scores_NCS, axis=-1, keepdims=True)
        exps_NCS = jnp.exp(scores_NCS - best_NC1)
        total_NC1 = jnp.sum(exps_NCS, axis=-1, keepdims=True)
        mixed_NCK = _columns(exps_NCS.astype(v_NSK.dtype), v_NSK) / total_NC1
        mixed.append(mixed_NCK.astype(v_NSK.dtype))
        logsumexps.append((best_NC1 + jnp.log(total_NC1))[..., 0])
    # Named for `remat`: with both kept, the backward pass does not attend a second time.
    mixed_NTK = checkpoint_name(jnp.concatenate(mixed, axis=1), "attention")
    logsumexp_NT = checkpoint_name(jnp.concatenate(logsumexps, axis=1), "attention")
    return mixed_NTK, (q_NTK, k_NTK, v_NTK, mixed_NTK, logsumexp_NT)


def _backward(block, residuals, dmixed_NTK):
    q_NTK, k_NTK, v_NTK, mixed_NTK, logsumexp_NT = residuals
    # Σ p·dp over the keys (Dao et al. 2022, equation 4).
    delta_NT = jnp.sum(dmixed_NTK.astype(jnp.float32) * mixed_NTK.astype(jnp.float32), axis=-1)
    blocks = _blocks(q_NTK.shape[1], block)
    dq: list[Any] = [0.0] * len(blocks)
    dk, dv = [], []
    for index, (start, stop) in enumerate(blocks):
        # A block of keys, and the queries from its start on: their weights with the keys as rows.
        k_NSK, v_NSK = k_NTK[:, start:stop], v_NTK[:, start:stop]
        q_NCK, dmixed_NCK = q_NTK[:, start:], dmixed_NTK[:, start:]
        is_visible_SC = jnp.arange(start, stop)[:, None] <= jnp.arange(start, q_NTK.shape[1])[None]
        exponents_NSC = _rows(k_NSK, q_NCK) - logsumexp_NT[:, None, start:]
        weights_NSC = jnp.exp(jnp.where(is_visible_SC, exponents_NSC, attention.MASKED_SCORE))
        dv.append(_columns(weights_NSC.astype(v_NSK.dtype), dmixed_NCK))
        dweights_NSC = _rows(v_NSK, dmixed_NCK)
        dscores_NSC = weights_NSC * (dweights_NSC - delta_NT[:, None, start:])
        dscores_NSC = dscores_NSC.astype(q_NTK.dtype)
        dk.append(_columns(dscores_NSC, q_NCK))
        share_NCK = _columns(dscores_NSC.swapaxes(1, 2), k_NSK)
        for later, (first, last) in enumerate(blocks[index:], index):
            dq[later] += share_NCK[:, first - start : last - start]
    return tuple(jnp.concatenate(parts, axis=1).astype(q_NTK.dtype) for parts in (dq, dk, dv))


_attend.defvjp(_forward, _backward)


def _blocks(positions: int, block: int) -> list[tuple[int, int]]:
    return [(start, min(start + block, positions)) for start in range(0, positions, block)]


def _rows(x_NIK: Array, y_NJK: Array) -> Float[Array, "N I J"]:
    """Products of rows with rows, in float32."""
    numbers = (((2,), (2,)), ((0,), (0,)))
    return jax.lax.dot_general(x_NIK, y_NJK, numbers, preferred_element_type=jnp.float32)


def _columns(x_NIJ: Array, y_NJK: Array) -> Float[Array, "N I K"]:
    """Products of rows with columns, in float32."""
    numbers = (((2,), (1,)), ((0,), (0,)))
    return jax.lax.dot_general(x_NIJ, y_NJK, numbers, preferred_element_type=jnp.float32)
