import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgpt2 import config
from jgpt2.model import gpt2
from jgpt2.tokenizer import byte


@pytest.fixture(scope="session")
def tokenizer():
    return byte.Byte(name="byte", fingerprint="0" * 64)


@pytest.fixture(scope="session")
def model():
    return config.Model(layers=2, embed_dim=32, heads=2, context=64, compute_dtype="float32")


@pytest.fixture(scope="session")
def created(model, tokenizer):
    graphdef, shapes = gpt2.abstract(model, tokenizer.vocab_size)
    # Wider than trained weights begin: predictions then depend much on context and position.
    random = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(random.normal(0, 0.2, leaf.shape), leaf.dtype), shapes
    )
    return graphdef, params
