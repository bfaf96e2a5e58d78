"""An opened model's bits for each token, with as much context as an arm is allowed to see."""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jaxtyping import Float

from jgpt2 import inference, runs
from jgpt2.evaluate import bits, windows
from jgpt2.model import sharding


def token_bits(
    model: runs.OpenModel,
    prepared: Sequence[bits.Scorable],
    *,
    context: int,
    report: Callable[[int, int], None] | None = None,
) -> list[Float[np.ndarray, " tokens1"]]:
    """-log2 p of each token of each document and of its EOT, in windows of `context` tokens.

    `context` is at most the model's: learned positions are then the first ones. Windows go on by
    `stride(context)`; with the model's whole context the bits are those of `inference.evaluate`.
    """
    with jax.set_mesh(model.mesh):
        return bits.token_bits(
            model.graphdef,
            model.params,
            prepared,
            model=dataclasses.replace(model.shape, context=context),
            eot=model.tokenizer.eot,
            stride=stride(context),
            rows=sharding.batch_rows(model.mesh, inference.EVALUATION_ROWS),
            sharding=sharding.batch_sharding(model.mesh),
            report=report,
        )


def stride(context: int) -> int:
    """Half of the context: a token beyond the first window sees at least half of it."""
    return windows.check_stride(context, None)
