"""A model small enough for laws to be checked in seconds, and rows of token ids for it."""

import functools

import jax
import pytest
from flax import nnx

from jgpt2 import config
from jgpt2.model import gpt2

VOCAB = 257


@functools.cache
def _tiny(**changes):
    shape = {"layers": 2, "embed_dim": 32, "heads": 4, "context": 16, "compute_dtype": "float32"}
    return config.Model(**{**shape, **changes})


@functools.cache
def _made(model, vocab_size=VOCAB, seed=0):
    return gpt2.create(model, vocab_size, seed)


@functools.cache
def _forward(model, vocab_size=VOCAB):
    graphdef, _ = gpt2.abstract(model, vocab_size)
    return jax.jit(lambda params, ids_BT: gpt2.forward(graphdef, params, ids_BT))


@functools.cache
def _read(model, vocab_size=VOCAB):
    graphdef, _ = gpt2.abstract(model, vocab_size)

    def read(params, ids_BT, held):
        module = nnx.merge(graphdef, params)
        hidden_BTD, held = module(ids_BT, cache=held)
        return module.logits(hidden_BTD), held

    return jax.jit(read)


@pytest.fixture(scope="session")
def tiny():
    """Makes small float32 models: tiny(dropout=0.5) changes a field."""
    return _tiny


@pytest.fixture(scope="session")
def made():
    """Like gpt2.create with seed 0, made once: (graphdef, params), which nobody may change."""
    return _made


@pytest.fixture(scope="session")
def forward():
    """Compiled once per model: forward(model)(params, ids_BT) -> logits_BTV."""
    return _forward


@pytest.fixture(scope="session")
def read():
    """Compiled once per model: read(model)(params, ids_BT, cache) -> (logits_BTV, cache)."""
    return _read


@pytest.fixture(scope="session")
def vocab_size():
    return VOCAB


@pytest.fixture(scope="session")
def rows():
    return jax.random.randint(jax.random.key(1), (8, 17), 0, VOCAB)
