"""From an experiment and its inputs to the compiled parts of a run, checked to belong together.

Everything that can be refused is refused here, before the first device call.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from jgpt2 import config, runs
from jgpt2.data import mixture, tokens
from jgpt2.evaluate import bits
from jgpt2.model import count, gpt2, sharding
from jgpt2.tokenizer.base import Tokenizer
from jgpt2.train import budget, program


@dataclass(frozen=True)
class Inputs:
    """What a run is trained on, checked to belong together."""

    stores: Mapping[str, tokens.TokenStore]
    """Name of each dataset -> its token store."""
    tokenizer: Tokenizer
    tokenizer_folder: Path
    validation: Sequence[bits.Scorable]
    """Documents scored during training, in order, up to `evaluation.max_bytes`."""
    start: runs.Found | None = None
    """The model that a fine-tuning starts from."""

    @property
    def parents(self) -> dict[str, str]:
        """Role -> fingerprint of all that a run is made from.

        A dataset alone and its token store are `dataset` and `tokens`; of several each is named.
        """
        parents = {} if self.start is None else {"start": self.start.fingerprint}
        for name, store in self.stores.items():
            of = f" {name}" if len(self.stores) > 1 else ""
            parents |= {
                "tokenizer": store.manifest.parents["tokenizer"],
                f"dataset{of}": store.manifest.parents["dataset"],
                f"tokens{of}": store.manifest.fingerprint,
            }
        return parents


@dataclass(frozen=True)
class Trainer:
    """The compiled parts of one run."""

    experiment: config.Experiment
    training: mixture.Mixture
    program: program.Program
    token_bytes: jax.Array
    num_steps: int
    flops_per_step: float

    def describe_training(self) -> dict[str, dict[str, Any]]:
        """Name of each dataset -> its shares and epochs over the whole run."""
        return self.training.describe(
            num_rows=self.num_steps * self.experiment.batch.sequences,
            context=self.experiment.model.context,
        )


def make_mesh(experiment: config.Experiment, vocab_size: int) -> Mesh:
    """The mesh of a run; InputError when its model, vocabulary or batch do not divide over it."""
    mesh = sharding.make_mesh(experiment.mesh)
    rows = experiment.batch.sequences // experiment.batch.accumulation
    sharding.check(experiment.model, gpt2.padded_vocab(vocab_size), rows, mesh)
    return mesh


def prepare(experiment: config.Experiment, inputs: Inputs) -> Trainer:
    """Checks the experiment against its data and devices, and builds the parts of the run."""
    training = mixture.training(experiment.weights, inputs.stores)
    mixture.check(training, context=experiment.model.context)
    mesh = make_mesh(experiment, inputs.tokenizer.vocab_size)
    steps = budget.num_steps(
        experiment,
        vocab_size=inputs.tokenizer.vocab_size,
        bytes_per_token=training.bytes_per_token,
    )
    built = program.build(
        experiment, vocab_size=inputs.tokenizer.vocab_size, num_steps=steps, mesh=mesh
    )
    return Trainer(
        experiment=experiment,
        training=training,
        program=built,
        token_bytes=built.place(inputs.tokenizer.token_bytes, built.abstract_token_bytes),
        num_steps=steps,
        flops_per_step=budget.tokens_per_step(experiment)
        * count.flops_per_token(experiment.model, inputs.tokenizer.vocab_size),
    )
