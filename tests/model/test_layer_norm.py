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
            jax.vjp(norm, *given) for norm in (layer_norm.plain, layer_norm.in_fewer_passes)
        )
    )
    for wanted, got in zip((plain, *derived), (own, *written), strict=True):
        assert got.dtype == wanted.dtype
        wanted, got = (np.asarray(one, np.float64) for one in (wanted, got))
        assert np.linalg.norm(got - wanted) <= tolerance * np.linalg.norm(wanted)


@pytest.mark.parametrize(("mean", "tolerance"), [(0, 1e-6), (10, 2e-5), (60, 1e-3)])
def test_one_pass_over_rows_of_a_far_mean(mean, tolerance):
    x_MD = mean + 2 * jax.random.normal(jax.random.key(0), (64, 768))
    ones_D, zeros_D = jnp.ones(768), jnp.zeros(768)
    plain, own = (
        norm(x_MD, ones_D, zeros_D) for norm in (layer_norm.plain, layer_norm.in_fewer_passes)
    )
    assert np.linalg.norm(own - plain) <= tolerance * np.linalg.norm(plain)


def test_one_pass_over_rows_without_variance_stays_finite():
    x_MD = jnp.full((4, 32), 1000.1)
    y_MD = layer_norm.in_fewer_passes(x_MD, jnp.ones(32), jnp.zeros(32))
    assert np.isfinite(y_MD).all()


@pytest.mark.parametrize("norm", [layer_norm.plain, layer_norm.in_fewer_passes])
def test_rows_have_mean_0_and_variance_1(norm):
    (x_MD, _, _), _ = made(jnp.float32)
    y_MD = np.asarray(norm(x_MD, jnp.ones(32), jnp.zeros(32)))
    np.testing.assert_allclose(y_MD.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(y_MD.var(axis=1), 1, rtol=1e-4)
