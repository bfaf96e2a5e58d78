"""The products of dense layers, in the form that suits the device they are made on.

The gradient of a weight multiplies columns by columns. XLA's CPU backend has such products done by
Eigen, at half the speed of the machine where rows are a multiple of 4 KB apart (3072 floats), and
all others by YNNPACK: there the activations are turned first, which costs a twentieth of the
product. Attention on a GPU takes queries, keys and values as arrays of their own: cut out of one
result, each is copied.

Dims: M rows, D width, F width of the output, P parts of it.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jgpt2.model import tuning

TILE = 32
"""Columns that are turned at a time: an M x 32 strip fits in cache, where M x D does not."""


def dense(x_MD: Float[Array, "M D"], kernel: Float[Array, "D *out"]) -> Float[Array, "M *out"]:
    """x·kernel on two axes, `out` being one or several."""
    if x_MD.dtype != jnp.float32 or not tuning.is_whole_on("cpu"):
        return jax.lax.dot_general(x_MD, kernel, (((1,), (0,)), ((), ())))
    y_MF = _dense(x_MD, kernel.reshape(kernel.shape[0], -1))
    return y_MF.reshape(x_MD.shape[0], *kernel.shape[1:])


@jax.custom_vjp
def _dense(x_MD: Array, kernel_DF: Array) -> Array:
    return x_MD @ kernel_DF


def _forward(x_MD: Array, kernel_DF: Array) -> tuple[Array, tuple[Array, Array]]:
    return x_MD @ kernel_DF, (x_MD, kernel_DF)


def _backward(residuals: tuple[Array, Array], dy_MF: Array) -> tuple[Array, Array]:
    x_MD, kernel_DF = residuals
    dx_MD = jax.lax.dot_general(dy_MF, kernel_DF, (((1,), (1,)), ((), ())))
    return dx_MD, _turned(x_MD) @ dy_MF


_dense.defvjp(_forward, _backward)


@jax.custom_vjp
def dense_parts(
    x_MD: Float[Array, "M D"], kernel_DPF: Float[Array, "D P F"], bias_PF: Float[Array, "P F"]
) -> tuple[Float[Array, "M F"], ...]:
    """x·kernel + bias, each part by a product of its own; the gradients are those of one product.

    `jgpt2.train.compiler` keeps XLA from making one product of them again.
    """
    return tuple(x_MD @ kernel_DPF[:, p] + bias_PF[None, p] for p in range(len(bias_PF)))


def _parts_forward(x_MD: Array, kernel_DPF: Array, bias_PF: Array) -> tuple[Any, Any]:
    return dense_parts(x_MD, kernel_DPF, bias_PF), (x_MD, kernel_DPF)


def _parts_backward(residuals: Any, dparts: tuple[Array, ...]) -> tuple[Array, Array, Array]:
    x_MD, kernel_DPF = residuals
    width, parts, part_width = kernel_DPF.shape
    # A sum of padded parts, not a concatenation: XLA adds up the bias' gradient in the same pass.
    before = [part_width * p for p in range(parts)]
    padded = [(left, part_width * (parts - 1) - left) for left in before]
    wide = [jnp.pad(d_MF, ((0, 0), pad)) for d_MF, pad in zip(dparts, padded, strict=True)]
    dy_MX = functools.reduce(jnp.add, wide)
    dx_MD = dy_MX @ kernel_DPF.reshape(width, -1).T
    dkernel_DPF = (x_MD.T @ dy_MX).reshape(kernel_DPF.shape)
    return dx_MD, dkernel_DPF, dy_MX.sum(axis=0).reshape(parts, part_width)


dense_parts.defvjp(_parts_forward, _parts_backward)


def _turned(x_MD: Float[Array, "M D"]) -> Float[Array, "D M"]:
    """The transpose, stored as such: the barriers keep it from being folded into the product."""
    rows, width = x_MD.shape
    if width % TILE:
        return jax.lax.optimization_barrier(x_MD.T)
    strips = x_MD.reshape(rows, width // TILE, TILE).swapaxes(0, 1)
    strips = jax.lax.optimization_barrier(strips)
    return jax.lax.optimization_barrier(strips.swapaxes(1, 2).reshape(width, rows))
