"""The loss against closed forms."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jgpt2.model import loss


@functools.partial(jax.jit, static_argnums=0)
def nll(graphdef, params, rows):
    return loss.next_token_nll(nnx.merge(graphdef, params), rows)


@pytest.mark.parametrize("vocab_size", [257, 384])
def test_a_uniform_model_costs_the_logarithm_of_its_vocabulary(tiny, made, vocab_size):
    graphdef, params = made(tiny(), vocab_size)
    params = {**params, "tokens": jnp.zeros_like(params["tokens"])}
    rows = jax.random.randint(jax.random.key(0), (2, 17), 0, vocab_size)
    nll_BT = nll(graphdef, params, rows)
    assert nll_BT.shape == (2, 16)
    assert nll_BT.dtype == jnp.float32
    # One rounding of float32: the padding has no share at all.
    np.testing.assert_allclose(nll_BT, math.log(vocab_size), rtol=1.2e-7)


def test_each_token_costs_minus_the_log_of_its_probability(tiny, made, forward, rows):
    graphdef, params = made(tiny())
    nll_BT = nll(graphdef, params, rows)
    logits_BTV = np.asarray(forward(tiny())(params, rows[:, :-1]), np.float64)
    probabilities = np.exp(logits_BTV) / np.exp(logits_BTV).sum(axis=-1, keepdims=True)
    row, place = np.indices(nll_BT.shape)
    expected = -np.log(probabilities[row, place, rows[:, 1:]])
    np.testing.assert_allclose(nll_BT, expected, atol=2e-6)


def test_gradient_is_softmax_minus_the_truth(tiny, made):
    # At zero weights only the final bias moves the logits; use the table's gradient instead.
    graphdef, params = made(tiny())
    rows = jnp.full((1, 2), 5)

    def total(tokens):
        module = nnx.merge(graphdef, {**params, "tokens": tokens})
        hidden_BTD = jax.lax.stop_gradient(module(rows[:, :-1]))
        logits_V = module.logits(hidden_BTD)[0, 0]
        return jax.nn.logsumexp(logits_V) - logits_V[5], (hidden_BTD[0, 0], logits_V)

    grad_VD, (hidden_D, logits_V) = jax.jit(jax.grad(total, has_aux=True))(params["tokens"])
    error_V = jax.nn.softmax(logits_V) - (jnp.arange(logits_V.size) == 5)
    np.testing.assert_allclose(grad_VD, jnp.outer(error_V, hidden_D), atol=1e-6)
