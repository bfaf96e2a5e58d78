import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jgpt2 import config
from jgpt2.model import cache, decoding, gpt2

MODEL = config.Model(layers=2, embed_dim=32, heads=2, context=24, compute_dtype="float32")
CHUNK = 4


@pytest.fixture(scope="module")
def module():
    graphdef, shapes = gpt2.abstract(MODEL, 50)
    random = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(random.normal(0, 0.2, leaf.shape), leaf.dtype), shapes
    )
    return nnx.merge(graphdef, params)


def read_chunk(module, ids_BC, held):
    """Hidden states of a chunk, one token at a time, and what they leave behind."""
    recent, states = decoding.no_recent(MODEL, len(ids_BC), CHUNK), []
    for place in range(ids_BC.shape[1]):
        x_B1D, recent = decoding.read(module, ids_BC[:, place], jnp.asarray(place), held, recent)
        states.append(x_B1D)
    return jnp.concatenate(states, axis=1), recent


def test_chunks_beside_the_cache_give_the_states_of_the_whole_row(module):
    ids_BT = jnp.asarray(np.random.default_rng(1).integers(0, 50, (3, 12)))
    held = cache.empty(MODEL, 3, 16)
    whole_BTD, _ = module(ids_BT, cache=held)
    states = []
    for start in (0, 4, 8):
        x_BCD, recent = read_chunk(module, ids_BT[:, start : start + CHUNK], held)
        held = decoding.settle(held, recent, jnp.full(3, CHUNK))
        states.append(x_BCD)
    np.testing.assert_allclose(jnp.concatenate(states, axis=1), whole_BTD, atol=2e-6)
    assert held.length.tolist() == [12] * 3


def test_rows_of_other_lengths_go_on_at_their_own_places(module):
    ids_BT = jnp.asarray(np.random.default_rng(2).integers(0, 50, (2, 10)))
    _, held = module(ids_BT[:, :6], cache=cache.empty(MODEL, 2, 16))
    held = cache.with_length(held, jnp.asarray([6, 3]))
    new_BC = jnp.stack([ids_BT[0, 6:10], ids_BT[1, 3:7]])
    x_BCD, recent = read_chunk(module, new_BC, held)
    np.testing.assert_allclose(x_BCD[0], module(ids_BT)[0, 6:10], atol=2e-6)
    np.testing.assert_allclose(x_BCD[1], module(ids_BT)[1, 3:7], atol=2e-6)
    # Of the second row two tokens count: the next two take the places of the others.
    held = decoding.settle(held, recent, jnp.asarray([4, 2]))
    assert held.length.tolist() == [10, 5]
    again_BCD, _ = read_chunk(module, jnp.stack([new_BC[0, :2], ids_BT[1, 5:7]]), held)
    np.testing.assert_allclose(again_BCD[1], module(ids_BT)[1, 5:7], atol=2e-6)


def test_what_does_not_fit_the_cache_is_lost_and_disturbs_nothing(module):
    ids_BT = jnp.asarray(np.random.default_rng(3).integers(0, 50, (1, 8)))
    _, held = module(ids_BT[:, :6], cache=cache.empty(MODEL, 1, 7))
    _, recent = read_chunk(module, ids_BT[:, 4:8], held)
    settled = decoding.settle(held, recent, jnp.asarray([1]))
    np.testing.assert_array_equal(settled.keys[0][:, :, :6], held.keys[0][:, :, :6])
    assert np.all(np.isfinite(settled.keys[1]))
    assert settled.places == 7
