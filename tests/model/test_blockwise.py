"""Attention by blocks against the plain one: what comes out, the gradients, and causality."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgpt2.model import blockwise, causal

HEADS = 2


def made(positions, head_dim, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0), 4)
    shape = (3, positions, HEADS * head_dim)
    return [jax.random.normal(key, shape).astype(dtype) for key in keys]


@functools.partial(jax.jit, static_argnums=0)
def with_gradients(attend, q, k, v, cotangent):
    mixed, pull = jax.vjp(attend, q, k, v)
    return mixed, *pull(cotangent)


def plain(q, k, v):
    return causal.attend(q, k, v, heads=HEADS, kernel="plain")


# One block; blocks that divide the row; a last block with fewer, or with one query.
@pytest.mark.parametrize(("positions", "block"), [(7, 16), (24, 8), (23, 8), (17, 8)])
@pytest.mark.parametrize("head_dim", [8, 13])
def test_blocks_give_what_plain_attention_gives(positions, block, head_dim):
    given = made(positions, head_dim)
    by_blocks = functools.partial(blockwise.attend, heads=HEADS, block=block)
    for ours, expected in zip(
        with_gradients(by_blocks, *given), with_gradients(plain, *given), strict=True
    ):
        assert ours.dtype == jnp.float32
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


def test_bfloat16_stays_within_its_roundings():
    given = made(24, 8, jnp.bfloat16)
    exact = [np.asarray(x, np.float32) for x in given]
    by_blocks = functools.partial(blockwise.attend, heads=HEADS, block=8)
    for ours, expected in zip(
        with_gradients(by_blocks, *given), with_gradients(plain, *exact), strict=True
    ):
        assert ours.dtype == jnp.bfloat16
        # Weights and their gradients are rounded to 8 bits before they are multiplied.
        np.testing.assert_allclose(
            np.asarray(ours, np.float32), expected, atol=2**-7 * np.abs(expected).max()
        )


def test_no_query_learns_from_a_later_key():
    q, k, v, _ = made(23, 8)

    def at(k, v):
        return blockwise.attend(q, k, v, HEADS, 8)[:, 11].sum()

    for gradient in jax.grad(at, argnums=(0, 1))(k, v):
        assert not np.asarray(gradient[:, 12:]).any()
        assert np.asarray(gradient[:, :12]).any(axis=-1).all()


def test_scores_of_any_size_give_finite_gradients():
    q, k, v, cotangent = made(17, 8)
    by_blocks = functools.partial(blockwise.attend, heads=HEADS, block=8)
    for value in with_gradients(by_blocks, 1e4 * q, k, v, cotangent):
        assert np.isfinite(value).all()


def test_a_row_is_cut_into_four_blocks_at_most():
    text = jax.jit(functools.partial(blockwise.attend, heads=HEADS)).lower(*made(1024, 8)[:3])
    # Two products for each block, none of them over all 1024 x 1024 places.
    assert text.as_text().count("dot_general") == 2 * blockwise.MAX_BLOCKS
    assert "1024x1024xf32" not in text.as_text()
