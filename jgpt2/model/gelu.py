"""GELU in its tanh form, with the gradient that JAX derives, or with one written down for GPUs.

Derived, XLA writes tanh, or what the gradient is made of, beside the activation, to read it again;
written down, with a barrier, the backward pass makes it anew from the input, which is kept in any
case. Dims: M rows, F width of the MLP.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_SCALE = math.sqrt(2 / math.pi)
_CUBE = 0.044715  # Hendrycks & Gimpel 2016, section 2, as in Radford et al.'s code


def plain(x_MF: Float[Array, "M F"]) -> Float[Array, "M F"]:
    """x·Φ(x), Φ by its approximation with tanh."""
    return jax.nn.gelu(x_MF, approximate=True)


@jax.custom_vjp
def with_own_gradient(x_MF: Float[Array, "M F"]) -> Float[Array, "M F"]:
    """The same numbers as `plain`; its gradient, made in float32, to within rounding."""
    return plain(x_MF)


def _forward(x_MF: Array) -> tuple[Array, Array]:
    return plain(x_MF), x_MF


def _backward(x_MF: Array, dy_MF: Array) -> tuple[Array]:
    # Behind the barrier nothing is shared with the forward pass.
    x_MF, dy_MF = jax.lax.optimization_barrier((x_MF, dy_MF))
    x = x_MF.astype(jnp.float32)
    tanh = jnp.tanh(_SCALE * (x + _CUBE * x**3))
    slope = _SCALE * (1 + 3 * _CUBE * x**2)
    derivative = 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh**2) * slope
    return ((dy_MF.astype(jnp.float32) * derivative).astype(x_MF.dtype),)


with_own_gradient.defvjp(_forward, _backward)
