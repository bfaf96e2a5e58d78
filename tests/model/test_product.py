"""The product of a dense layer against the plain one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgpt2.model import product


@pytest.mark.parametrize("width", [2 * product.TILE, 2 * product.TILE + 1])
@pytest.mark.parametrize("out", [(24,), (3, 8)])
def test_output_and_gradients_are_those_of_the_plain_product(width, out):
    keys = jax.random.split(jax.random.key(0), 3)
    x_MD = jax.random.normal(keys[0], (10, width))
    kernel = jax.random.normal(keys[1], (width, *out))
    cotangent = jax.random.normal(keys[2], (10, *out))
    y, pull = jax.vjp(product.dense, x_MD, kernel)
    expected, plain_pull = jax.vjp(lambda x, w: jnp.tensordot(x, w, 1), x_MD, kernel)
    for ours, theirs in zip((y, *pull(cotangent)), (expected, *plain_pull(cotangent)), strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_activations_are_turned_before_the_weight_gradient_is_made():
    x_MD, kernel = jnp.ones((10, product.TILE)), jnp.ones((product.TILE, 24))
    step = jax.jit(jax.grad(lambda w: product.dense(x_MD, w).sum()))
    contracted = [line for line in step.lower(kernel).as_text().splitlines() if "dot_gen" in line]
    assert contracted
    assert not any("contracting_dims = [0] x [0]" in line for line in contracted)


def test_bfloat16_goes_by_the_plain_product():
    x_MD = jnp.ones((10, product.TILE), jnp.bfloat16)
    kernel = jnp.ones((product.TILE, 24), jnp.bfloat16)
    y, pull = jax.vjp(product.dense, x_MD, kernel)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.asarray(pull(y)[1], np.float32), 10 * product.TILE)


def test_parts_are_those_of_one_product_and_so_are_their_gradients():
    keys = jax.random.split(jax.random.key(0), 3)
    given = (
        jax.random.normal(keys[0], (10, 16)),
        jax.random.normal(keys[1], (16, 3, 8)),
        jax.random.normal(keys[2], (3, 8)),
    )

    def cut(x_MD, kernel_DPF, bias_PF):
        y_MPF = jnp.tensordot(x_MD, kernel_DPF, 1) + bias_PF[None]
        return tuple(y_MPF[:, part] for part in range(3))

    cotangent = tuple(jax.random.normal(key, (10, 8)) for key in keys)
    ours, theirs = (
        (*y, *back(cotangent))
        for y, back in (jax.vjp(of, *given) for of in (product.dense_parts, cut))
    )
    for mine, expected in zip(ours, theirs, strict=True):
        assert mine.shape == expected.shape
        np.testing.assert_allclose(mine, expected, rtol=1e-5, atol=1e-5)
