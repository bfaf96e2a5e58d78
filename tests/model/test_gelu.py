"""GELU's gradient written down against the one that JAX derives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgpt2.model import gelu


@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 2e-6), (jnp.bfloat16, 2e-2)])
def test_the_gradient_written_down_is_the_one_that_is_derived(dtype, tolerance):
    x_MF = jnp.linspace(-8, 8, 4096).reshape(64, 64).astype(dtype)
    cotangent = jax.random.normal(jax.random.key(0), x_MF.shape).astype(dtype)
    (plain, derived), (own, written) = (
        (y, back(cotangent)[0])
        for y, back in (jax.vjp(of, x_MF) for of in (gelu.plain, gelu.with_own_gradient))
    )
    np.testing.assert_array_equal(own, plain)
    assert written.dtype == dtype
    wanted, got = (np.asarray(one, np.float64) for one in (derived, written))
    assert np.linalg.norm(got - wanted) <= tolerance * np.linalg.norm(wanted)


def test_in_bfloat16_the_gradient_is_right_to_its_last_digit():
    x_MF = jnp.linspace(-8, 8, 4096).reshape(64, 64).astype(jnp.bfloat16)
    exact = jax.grad(lambda x_MF: gelu.plain(x_MF).sum())(x_MF.astype(jnp.float32))
    _, back = jax.vjp(gelu.with_own_gradient, x_MF)
    got = np.asarray(back(jnp.ones_like(x_MF))[0], np.float32)
    np.testing.assert_allclose(got, exact, rtol=2**-8, atol=1e-6)


def test_far_out_it_is_the_identity_and_nothing():
    x_MF = jnp.array([[-1e4, -50.0, 50.0, 1e4]])
    y, back = jax.vjp(gelu.with_own_gradient, x_MF)
    np.testing.assert_array_equal(y, [[0, 0, 50, 1e4]])
    np.testing.assert_array_equal(back(jnp.ones_like(x_MF))[0], [[0, 0, 1, 1]])
