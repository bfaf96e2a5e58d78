"""A dense layer with its adapter, in the form that attention on a GPU takes."""

import jax
import numpy as np
from flax import nnx

from jgpt2 import config
from jgpt2.model import block, lora


def test_parts_are_cut_out_of_the_adapted_result():
    dense = block.Dense(jax.random.key(0), 16, (3, 8), std=1.0, dtype="float32")
    tuning = config.Tuning(method="lora", lora_rank=2, lora_alpha=4.0)
    adapted = lora.LoraDense(dense, tuning, is_stacked=False)
    for name in lora.NAMES:
        one = getattr(adapted, name)
        setattr(adapted, name, nnx.Param(jax.random.normal(jax.random.key(1), one.shape)))
    x_MD = jax.random.normal(jax.random.key(2), (5, 16))
    parts = adapted.parts(x_MD)
    np.testing.assert_array_equal(np.stack(parts, axis=1), adapted(x_MD))
    assert not np.allclose(parts, dense.parts(x_MD), atol=0.1)
