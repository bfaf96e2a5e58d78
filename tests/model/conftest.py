"""A model small enough for laws to be checked in seconds, and rows of token ids for it."""

import dataclasses

import jax
import pytest

from jgpt2 import config

VOCAB = 257


@pytest.fixture(scope="session")
def tiny():
    """Makes small float32 models: tiny(dropout=0.5) changes a field."""
    model = config.Model(layers=2, embed_dim=32, heads=4, context=16, compute_dtype="float32")
    return lambda **changes: dataclasses.replace(model, **changes)


@pytest.fixture(scope="session")
def vocab_size():
    return VOCAB


@pytest.fixture(scope="session")
def rows_BT1():
    return jax.random.randint(jax.random.key(1), (8, 17), 0, VOCAB)
