import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgpt2 import runs


@dataclasses.dataclass(frozen=True)
class Asked:
    """A request as the harness hands it over."""

    args: tuple


def requests(*args):
    return [Asked(one) for one in args]


@pytest.fixture
def ask():
    return requests


@pytest.fixture(scope="session", params=["sp", pytest.param("byte", marks=pytest.mark.slow)])
def opened(walk, request):
    """A trained run with far wider weights: its predictions depend much on what comes before."""
    model = runs.open_model(Path(walk.root) / "runs" / request.param)
    random = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: jax.device_put(
            jnp.asarray(random.normal(0, 0.3, leaf.shape), leaf.dtype), leaf.sharding
        ),
        model.params,
    )
    return dataclasses.replace(model, params=params)


@pytest.fixture(scope="session")
def uniform(opened):
    return dataclasses.replace(opened, params=jax.tree.map(jnp.zeros_like, opened.params))
