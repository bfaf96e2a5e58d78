"""The product of a dense layer, whose weight gradient suits the device it is made on.

That gradient multiplies columns by columns. XLA's CPU backend has such products done by Eigen,
at half the speed of the machine where rows are a multiple of 4 KB apart (3072 floats), and all
others by YNNPACK: there the activations are turned first, which costs a twentieth of the product.

Dims: M rows, D width, F width of the output.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jgpt2.model import tuning

TILE = 32
"""Columns that are turned at a time: an M x 32 strip fits in cache, where M x D does not."""


def dense(x_MD: Float[Array, "M D"], kernel: Float[Array, "D *out"]) -> Float[Array, "M *out"]:
    """x·kernel on two axes, `out` being one or several."""
    if x_MD.dtype != jnp.float32 or not tuning.is_whole_on_cpu():
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


def _turned(x_MD: Float[Array, "M D"]) -> Float[Array, "D M"]:
    """The transpose, stored as such: the barriers keep it from being folded into the product."""
    rows, width = x_MD.shape
    if width % TILE:
        return jax.lax.optimization_barrier(x_MD.T)
    strips = x_MD.reshape(rows, width // TILE, TILE).swapaxes(0, 1)
    strips = jax.lax.optimization_barrier(strips)
    return jax.lax.optimization_barrier(strips.swapaxes(1, 2).reshape(width, rows))
