import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgpt2.model import layer_norm


def made(dtype):
    keys = jax.random.split(jax.random.key(0), 4)
    x_MD = (3 + 2 * jax.random.normal(keys[0], (24, 32))).astype(dtype)
    scale_D, bias_D = jax.random.normal(keys[1], (32,)), jax.random.normal(keys[2], (32,))
    return (x_MD, scale_D, bias_D), jax.random.normal(keys[3], (24, 32)).astype(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 2e-6), (jnp.bfloat16, 8e-3)])
def test_the_gradient_written_down_is_the_one_that_is_derived(dtype, tolerance):
    given, cotangent = made(dtype)
    (plain, derived), (own, written) = (
        (y, back(cotangent))
        for y, back in (
            jax.vjp(norm, *given) for norm in (layer_norm.plain, layer_norm.with_own_gradient)
        )
    )
    np.testing.assert_array_equal(own, plain)
    for wanted, got in zip(derived, written, strict=True):
        assert got.dtype == wanted.dtype
        wanted, got = (np.asarray(one, np.float64) for one in (wanted, got))
        assert np.linalg.norm(got - wanted) <= tolerance * np.linalg.norm(wanted)


def test_rows_have_mean_0_and_variance_1():
    (x_MD, _, _), _ = made(jnp.float32)
    y_MD = np.asarray(layer_norm.plain(x_MD, jnp.ones(32), jnp.zeros(32)))
    np.testing.assert_allclose(y_MD.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(y_MD.var(axis=1), 1, rtol=1e-4)
