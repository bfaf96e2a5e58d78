"""The model that a fine-tuning starts from: it is the one of the experiment, and its parameters."""

from pathlib import Path

import jax

from jgpt2 import config, runs
from jgpt2.errors import InputError
from jgpt2.model import gpt2, layout, sharding

_SHAPE = ("layers", "embed_dim", "heads", "context")
"""Fields of a model that decide which parameters it has."""


def find(experiment: config.Experiment, folder: Path | None) -> runs.Found | None:
    """The checkpoint in `folder` that the experiment starts from; None where it draws parameters.

    Raises InputError when it is another model than the experiment's, by fingerprint, vocabulary
    and shape, or when there is no folder.
    """
    if experiment.start is None:
        return None
    wanted = experiment.start.model
    if folder is None:
        raise InputError(
            f"the experiment {experiment.name} starts from the model {wanted[:12]}, which is not "
            "given; give its folder with `jgpt2 finetune FOLDER`."
        )
    found = runs.find(folder, step=experiment.start.step)
    if found.fingerprint != wanted:
        raise InputError(
            f"{folder} holds the model {found.fingerprint[:12]}, but the experiment "
            f"{experiment.name} starts from {wanted[:12]}; give that one's folder."
        )
    if found.tokenizer.name != experiment.tokenizer:
        raise InputError(
            f"tokenizer={experiment.tokenizer!r} is not the vocabulary of {folder}, which is kept: "
            f"{found.tokenizer.name!r}; leave it as it is, or train from the start."
        )
    for name in _SHAPE:
        own, given = getattr(found.shape, name), getattr(experiment.model, name)
        if own != given:
            raise InputError(
                f"model.{name}={given} is not that of {folder}, whose parameters have "
                f"{name}={own}; a fine-tuned model keeps its shape."
            )
    return found


def load(found: runs.Found, experiment: config.Experiment) -> gpt2.Params:
    """The parameters of that checkpoint, laid out and placed as the experiment has its own."""
    opened = runs.open_model(found.folder, step=found.step, mesh=experiment.mesh)
    if opened.shape.scan_layers == experiment.model.scan_layers:
        return opened.params
    turn = layout.unstack_blocks if opened.shape.scan_layers else layout.stack_blocks
    places = sharding.shardings(jax.eval_shape(turn, opened.params), opened.mesh)
    return jax.jit(turn, out_shardings=places)(opened.params)
