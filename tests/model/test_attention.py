"""Attention and dropout by themselves."""

import jax
import jax.numpy as jnp
import numpy as np

from jgpt2.model import attention


def test_attention_equals_the_formula_written_out():
    q, k, v = jax.random.normal(jax.random.key(0), (3, 2, 5, 3, 4))
    visible_BTS = attention.visible(jnp.arange(5)[None], 5)
    mixed = attention.attend(q, k.swapaxes(1, 2), v.swapaxes(1, 2), visible_BTS)
    for row, head, place in np.ndindex(2, 3, 5):
        scores = np.asarray(k)[row, : place + 1, head] @ np.asarray(q)[row, place, head] / 2
        weights = np.exp(scores) / np.exp(scores).sum()
        expected = weights @ np.asarray(v)[row, : place + 1, head]
        np.testing.assert_allclose(mixed[row, place, head], expected, atol=1e-6)


def test_invisible_keys_have_exactly_no_weight_even_when_they_are_huge():
    q = jnp.ones((1, 1, 1, 4))
    k = jnp.concatenate([jnp.ones((1, 1, 1, 4)), jnp.full((1, 1, 1, 4), 1e10)], axis=2)
    v = jnp.concatenate([jnp.ones((1, 1, 1, 4)), jnp.full((1, 1, 1, 4), 7.0)], axis=2)
    mixed = attention.attend(q, k, v, attention.visible(jnp.zeros((1, 1), jnp.int32), 2))
    assert (mixed == 1).all()


def test_dropout_drops_its_share_and_preserves_the_mean():
    x = jnp.ones(100_000)
    dropped = attention.drop(x, 0.3, jax.random.key(0))
    assert abs(np.mean(dropped == 0) - 0.3) < 0.01
    assert abs(np.mean(dropped) - 1) < 0.01
    assert attention.drop(x, 0.3, None) is x
    assert attention.drop(x, 0.0, jax.random.key(0)) is x
