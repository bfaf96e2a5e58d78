"""Causal attention of whole rows as TPU kernels that read [B, T, H·K] as the projections left it.

A program takes one row and one group of 128 lanes (two heads of 64, or one of 128), with all T
positions in VMEM: so the softmax is exact in one pass, keys above the diagonal are not touched, and
no transposed copy of queries, keys or values is made. Heads that share a group are told apart by
zeroing the other's lanes, which costs nothing: the matrix unit is 128 wide.

Dims: B batch, T positions, D = H·K width, G groups of lanes, P heads of a group, L lanes.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float

from jgpt2.model import attention

LANES = 128
"""Width of a TPU vector register and of the arrays' last tile."""

BLOCK = 256
"""Positions worked on at a time; a divisor of T is taken where T is shorter or odd."""

_ROWS_BY_ROWS = (((1,), (1,)), ((), ()))  # x·yᵀ
_COLUMNS_BY_COLUMNS = (((0,), (0,)), ((), ()))  # xᵀ·y


def fits(positions: int, width: int, heads: int) -> bool:
    """Whether the kernels take rows of T `positions` and `heads` of that `width` together."""
    head_dim = width // heads
    return positions % LANES == 0 and positions <= 2048 and head_dim in (32, 64, 128)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def attend(
    q_BTD: Float[Array, "B T D"],
    k_BTD: Float[Array, "B T D"],
    v_BTD: Float[Array, "B T D"],
    heads: int,
    interpret: bool = False,
) -> Float[Array, "B T D"]:
    """softmax(q·k / √K)·v of each head over the keys up to each query.

    Scores and softmax are float32, weights return to the type of `v_BTD`. `interpret` runs the
    kernels on any device, slowly. Shapes must `fits`.
    """
    return _forward(q_BTD, k_BTD, v_BTD, heads, interpret)[0]


def _attend_forward(q, k, v, heads, interpret):
    o, lse = _forward(q, k, v, heads, interpret)
    o = checkpoint_name(o, "attention")
    lse = checkpoint_name(lse, "attention")
    return o, (q, k, v, o, lse)


def _attend_backward(heads, interpret, residuals, do):
    q, k, v, o, lse = residuals
    return _backward(q, k, v, o, lse, do, heads, interpret)


attend.defvjp(_attend_forward, _attend_backward)


def _forward(q_BTD, k_BTD, v_BTD, heads, interpret):
    batch, positions, width = q_BTD.shape
    head_dim, groups = width // heads, math.ceil(width / LANES)
    rows, sums = _parts(positions, head_dim)
    return pl.pallas_call(
        functools.partial(_forward_kernel, head_dim=head_dim, block=_block(positions)),
        grid=(batch, groups),
        in_specs=[rows] * 3,
        out_specs=[rows, sums],
        out_shape=[
            jax.ShapeDtypeStruct((batch, positions, width), v_BTD.dtype),
            jax.ShapeDtypeStruct((batch, groups, LANES // head_dim, positions), jnp.float32),
        ],
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel", "parallel")),
        interpret=interpret,
        name=f"attention_forward_{positions}x{head_dim}",
    )(q_BTD, k_BTD, v_BTD)


def _backward(q_BTD, k_BTD, v_BTD, o_BTD, lse_BGPT, do_BTD, heads, interpret):
    batch, positions, width = q_BTD.shape
    head_dim, groups = width // heads, math.ceil(width / LANES)
    rows, sums = _parts(positions, head_dim)
    return pl.pallas_call(
        functools.partial(_backward_kernel, head_dim=head_dim, block=_block(positions)),
        grid=(batch, groups),
        in_specs=[rows] * 5 + [sums],
        out_specs=[rows] * 3,
        out_shape=[jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (q_BTD, k_BTD, v_BTD)],
        scratch_shapes=[pltpu.VMEM((positions, LANES), jnp.float32)],
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel", "parallel")),
        interpret=interpret,
        name=f"attention_backward_{positions}x{head_dim}",
    )(q_BTD, k_BTD, v_BTD, o_BTD, do_BTD, lse_BGPT)


def _parts(positions, head_dim):
    """What a program takes of [B, T, D], and of the sums of its heads [B, G, P, T]."""
    rows = pl.BlockSpec((None, positions, LANES), lambda b, g: (b, 0, g))
    sums = pl.BlockSpec((None, None, LANES // head_dim, positions), lambda b, g: (b, g, 0, 0))
    return rows, sums


def _block(positions):
    return math.gcd(positions, BLOCK)


def _forward_kernel(q_ref, k_ref, v_ref, o_ref, lse_ref, *, head_dim, block):
    for start in range(0, q_ref.shape[0], block):
        stop = start + block
        q_TL = q_ref[start:stop] * jnp.asarray(head_dim**-0.5, q_ref.dtype)
        mixed_TL = jnp.zeros((block, LANES), jnp.float32)
        for head in range(LANES // head_dim):
            qh_TL = _of_head(q_TL, head, head_dim)
            own_TS = _dot(qh_TL, k_ref[start:stop], _ROWS_BY_ROWS)
            is_seen = _iota(own_TS, 1) <= _iota(own_TS, 0)
            own_TS = jnp.where(is_seen, own_TS, attention.MASKED_SCORE)
            best_T1 = jnp.max(own_TS, axis=1, keepdims=True)
            if start:
                past_TS = _dot(qh_TL, k_ref[:start], _ROWS_BY_ROWS)
                best_T1 = jnp.maximum(best_T1, jnp.max(past_TS, axis=1, keepdims=True))
            own_TS = jnp.exp(own_TS - best_T1)
            sum_T1 = jnp.sum(own_TS, axis=1, keepdims=True)
            out_TL = _plain_dot(own_TS.astype(v_ref.dtype), v_ref[start:stop])
            if start:
                past_TS = jnp.exp(past_TS - best_T1)
                sum_T1 += jnp.sum(past_TS, axis=1, keepdims=True)
                out_TL += _plain_dot(past_TS.astype(v_ref.dtype), v_ref[:start])
            mixed_TL += _of_head(out_TL * (1 / sum_T1), head, head_dim)
            lse_T1 = best_T1 + jnp.log(sum_T1)
            lse_ref[head : head + 1, start:stop] = _as_row(lse_T1)
        o_ref[start:stop] = mixed_TL.astype(o_ref.dtype)


def _backward_kernel(
    q_ref, k_ref, v_ref, o_ref, do_ref, lse_ref, dq_ref, dk_ref, dv_ref, sum_ref, *, head_dim, block
):
    positions, heads = q_ref.shape[0], LANES // head_dim
    scale = head_dim**-0.5
    sum_ref[...] = jnp.zeros_like(sum_ref)
    products_TL = do_ref[...].astype(jnp.float32) * o_ref[...].astype(jnp.float32)
    delta = [
        _as_row(jnp.sum(_of_head(products_TL, head, head_dim), axis=1, keepdims=True))
        for head in range(heads)
    ]
    for start in range(0, positions, block):
        stop = start + block
        dk_SL = jnp.zeros((block, LANES), jnp.float32)
        dv_SL = jnp.zeros((block, LANES), jnp.float32)
        k_SL, v_SL = k_ref[start:stop], v_ref[start:stop]
        for head in range(heads):
            kh_SL = _of_head(k_SL, head, head_dim)
            for first, last in ((start, stop), (stop, positions)):
                if first == last:
                    continue
                qh_TL = _of_head(
                    q_ref[first:last] * jnp.asarray(scale, q_ref.dtype), head, head_dim
                )
                doh_TL = _of_head(do_ref[first:last], head, head_dim)
                s_ST = _dot(k_SL, qh_TL, _ROWS_BY_ROWS)
                p_ST = jnp.exp(s_ST - lse_ref[head : head + 1, first:last])
                if first == start:
                    p_ST = jnp.where(_iota(p_ST, 0) <= _iota(p_ST, 1), p_ST, 0)
                dp_ST = _dot(v_SL, doh_TL, _ROWS_BY_ROWS)
                ds_ST = (p_ST * (dp_ST - delta[head][:, first:last])).astype(q_ref.dtype)
                dv_SL += _plain_dot(p_ST.astype(do_ref.dtype), doh_TL)
                dk_SL += _plain_dot(ds_ST, qh_TL)
                sum_ref[first:last] += _dot(ds_ST, kh_SL, _COLUMNS_BY_COLUMNS)
        dk_ref[start:stop] = dk_SL.astype(dk_ref.dtype)
        dv_ref[start:stop] = dv_SL.astype(dv_ref.dtype)
    dq_ref[...] = (sum_ref[...] * scale).astype(dq_ref.dtype)


def _of_head(x_TL, head, head_dim):
    """The lanes of one head, zeros in those of the others."""
    if head_dim == LANES:
        return x_TL
    lane = jax.lax.broadcasted_iota(jnp.int32, x_TL.shape, 1)
    return jnp.where((lane // head_dim) == head, x_TL, jnp.zeros((), x_TL.dtype))


def _as_row(x_T1):
    return jnp.broadcast_to(x_T1, (x_T1.shape[0], LANES)).T[:1]


def _iota(x, axis):
    return jax.lax.broadcasted_iota(jnp.int32, x.shape, axis)


def _dot(x, y, dimensions):
    return jax.lax.dot_general(x, y, dimensions, preferred_element_type=jnp.float32)


def _plain_dot(x, y):
    return _dot(x, y, (((1,), (0,)), ((), ())))
