"""Decoding with a cache gives the logits of reading everything at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jgpt2.errors import InputError
from jgpt2.model import cache

TOLERANCE = 1e-5  # the products have other shapes, so they round differently


@pytest.mark.parametrize("scan_layers", [False, True])
def test_cached_logits_equal_uncached_ones(tiny, made, forward, read, rows, scan_layers):
    model = tiny(scan_layers=scan_layers)
    _, params = made(model)
    ids_BT = rows[:, :16]
    expected_BTV = forward(model)(params, ids_BT)
    logits_BTV, held = read(model)(params, ids_BT[:, :6], cache.empty(model, 8, 16))
    np.testing.assert_allclose(logits_BTV, expected_BTV[:, :6], atol=TOLERANCE)
    logits_BTV, held = read(model)(params, ids_BT[:, 6:8], held)
    np.testing.assert_allclose(logits_BTV, expected_BTV[:, 6:8], atol=TOLERANCE)
    for place in range(8, 16):
        logits_BTV, held = read(model)(params, ids_BT[:, place : place + 1], held)
        np.testing.assert_allclose(logits_BTV[:, 0], expected_BTV[:, place], atol=TOLERANCE)
        assert (held.length == place + 1).all()


def test_rows_of_different_lengths_decode_side_by_side(tiny, made, forward, read, rows):
    model = tiny()
    _, params = made(model)
    lengths = np.array([1, 3, 6, 6, 2, 5, 4, 1])
    prompts_BT = np.where(np.arange(6)[None] < lengths[:, None], rows[:, :6], 200)
    expected_BTV = np.asarray(forward(model)(params, rows[:, :16]))
    logits_BTV, held = read(model)(params, jnp.asarray(prompts_BT), cache.empty(model, 8, 16))
    held = cache.with_length(held, jnp.asarray(lengths))
    last_BV = np.asarray(logits_BTV)[np.arange(8), lengths - 1]
    np.testing.assert_allclose(last_BV, expected_BTV[np.arange(8), lengths - 1], atol=TOLERANCE)
    for more in range(4):
        ids_B1 = rows[np.arange(8), lengths + more][:, None]
        logits_BTV, held = read(model)(params, ids_B1, held)
        expected_BV = expected_BTV[np.arange(8), lengths + more]
        np.testing.assert_allclose(logits_BTV[:, 0], expected_BV, atol=TOLERANCE)


def test_a_cache_loops_inside_jit_with_donation(tiny, made, forward):
    graphdef, params = made(tiny())

    def generate(params, held, first_B1):
        module = nnx.merge(graphdef, params)

        def body(carry, _):
            ids_B1, held = carry
            hidden_BTD, held = module(ids_B1, cache=held)
            ids_B1 = jnp.argmax(module.logits(hidden_BTD), axis=-1).astype(jnp.int32)
            return (ids_B1, held), ids_B1[:, 0]

        (_, held), ids_TB = jax.lax.scan(body, (first_B1, held), length=10)
        return ids_TB.T, held

    first_B1 = jnp.array([[3], [9]], jnp.int32)
    donated = cache.empty(tiny(), 2, 12)
    ids_BT, held = jax.jit(generate, donate_argnums=1)(params, donated, first_B1)
    assert all(leaf.is_deleted() for leaf in donated.keys + donated.values)
    assert (held.length == 10).all()
    read_BT = jnp.concatenate([first_B1, ids_BT], axis=1)
    logits_BTV = forward(tiny())(params, read_BT[:, :-1])
    assert np.array_equal(np.argmax(logits_BTV, axis=-1), ids_BT)


def test_entries_beyond_the_last_place_are_lost_and_overwrite_nothing():
    held_BHSK = jnp.zeros((2, 1, 3, 1))
    written = cache.write(held_BHSK, jnp.ones((2, 1, 2, 1)), jnp.array([[2, 3], [0, 1]]))
    assert np.array_equal(written[:, 0, :, 0], [[0, 0, 1], [1, 1, 0]])


def test_the_cache_has_the_compute_type_unless_told_otherwise(tiny):
    held = cache.empty(tiny(compute_dtype="bfloat16"), 2, 5)
    assert held.keys[0].dtype == jnp.bfloat16
    assert held.keys[0].shape == (2, 4, 5, 8)
    assert held.places == 5
    assert cache.empty(tiny(), 2, 5, jnp.dtype("bfloat16")).values[1].dtype == jnp.bfloat16


@pytest.mark.parametrize("length", [0, 17])
def test_a_cache_that_does_not_fit_the_context_is_refused(tiny, length):
    with pytest.raises(InputError, match=f"cache of {length} tokens .* choose a length from 1 to"):
        cache.empty(tiny(), 1, length)


def test_more_tokens_than_the_cache_has_places_are_refused(tiny, made):
    graphdef, params = made(tiny())
    with pytest.raises(InputError, match="rows of 6 tokens do not fit a cache of 5"):
        nnx.merge(graphdef, params)(jnp.zeros((1, 6), jnp.int32), cache=cache.empty(tiny(), 1, 5))
