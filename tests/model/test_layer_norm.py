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


ONE_PASS = [layer_norm.one_pass, layer_norm.with_own_gradient]


@pytest.mark.parametrize("own_norm", ONE_PASS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 2e-6), (jnp.bfloat16, 8e-3)])
def test_numbers_and_gradients_are_those_of_the_plain_one(own_norm, dtype, tolerance):
    given, cotangent = made(dtype)
    (plain, derived), (own, written) = (
        (y, back(cotangent))
        for y, back in (jax.vjp(norm, *given) for norm in (layer_norm.plain, own_norm))
    )
    for wanted, got in zip((plain, *derived), (own, *written), strict=True):
        assert got.dtype == wanted.dtype
        wanted, got = (np.asarray(one, np.float64) for one in (wanted, got))
        assert np.linalg.norm(got - wanted) <= tolerance * np.linalg.norm(wanted)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_gradient_written_down_leaves_the_numbers_as_they_are(dtype):
    given, _ = made(dtype)
    own, derived = (norm(*given) for norm in (layer_norm.with_own_gradient, layer_norm.one_pass))
    np.testing.assert_array_equal(own, derived)


@pytest.mark.parametrize(("mean", "tolerance"), [(0, 1e-6), (10, 2e-5), (60, 1e-3)])
def test_one_pass_over_rows_of_a_far_mean(mean, tolerance):
    x_MD = mean + 2 * jax.random.normal(jax.random.key(0), (64, 768))
    ones_D, zeros_D = jnp.ones(768), jnp.zeros(768)
    plain, own = (norm(x_MD, ones_D, zeros_D) for norm in (layer_norm.plain, layer_norm.one_pass))
    assert np.linalg.norm(own - plain) <= tolerance * np.linalg.norm(plain)


@pytest.mark.parametrize("norm", ONE_PASS)
def test_one_pass_over_rows_without_variance_stays_finite(norm):
    x_MD = jnp.full((4, 32), 1000.1)
    y_MD, back = jax.vjp(norm, x_MD, jnp.ones(32), jnp.zeros(32))
    for one in (y_MD, *back(jnp.ones_like(y_MD))):
        assert np.isfinite(one).all()


@pytest.mark.parametrize("norm", [layer_norm.plain, *ONE_PASS])
def test_rows_have_mean_0_and_variance_1(norm):
    (x_MD, _, _), _ = made(jnp.float32)
    y_MD = np.asarray(norm(x_MD, jnp.ones(32), jnp.zeros(32)))
    np.testing.assert_allclose(y_MD.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(y_MD.var(axis=1), 1, rtol=1e-4)
